with transactions as (
    select * from {{ ref('fct_transactions') }}
),

revenue_stages as (
    select * from {{ ref('revenue_stages') }}
),

owed as (
    select
        transactions.*,
        coalesce(transactions.collection_partner, 'unknown') as partner,
        coalesce(transactions.earnings_currency, 'unknown') as currency,
        {{ is_moving() }} as may_move,
        revenue_stages.stage_order
    from transactions
    left join revenue_stages on revenue_stages.revenue_stage = transactions.revenue_stage
    where transactions.revenue_stage in ('ConfirmedPendingInvoice', 'AwaitingCollectionPartnerPayment')
)

select
    partner as collection_partner,
    revenue_stage,
    stage_order,
    currency,
    {{ is_expected() }} as is_expected_income,
    count(*) as transaction_count,
    count(distinct case_id) as case_count,
    count(distinct nullif(creditor_id, 'unknown')) as client_count,
    {{ money_sum('referral_fee') }} as referral_fee,
    {{ money_sum('referral_fee_usd') }} as referral_fee_usd,
    {{ money_sum('referral_fee_usd', 'may_move') }} as of_which_estimate_usd,
    max(days_in_stage) as oldest_days_in_stage,
    min(next_due_on) as next_due_on,
    count(*) filter (where is_overdue) as overdue_count,
    {{ money_sum('referral_fee_usd', 'is_overdue') }} as overdue_usd,
    min(payment_due_on) filter (where payment_class in ('overdue', 'due')) as payment_due_on,
    count(*) filter (where payment_class = 'overdue') as payment_overdue_count,
    {{ money_sum('referral_fee_usd', "payment_class = 'overdue'") }} as payment_overdue_usd
from owed
group by partner, revenue_stage, stage_order, currency
