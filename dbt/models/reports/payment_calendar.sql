with transactions as (
    select * from {{ ref('fct_transactions') }} where revenue_stage <> 'Paid'
),

revenue_stages as (
    select * from {{ ref('revenue_stages') }}
),

owed as (
    select
        transactions.*,
        revenue_stages.stage_order,
        case
            when transactions.revenue_stage in ('Pending', 'ConfirmedPendingInvoice', 'AwaitingCollectionPartnerPayment')
                then 'collection_partner'
            when transactions.revenue_stage in ('ReadyToInvoiceDebitura', 'AwaitingDebituraPayment', 'Disputed') then 'debitura'
            else 'unknown'
        end as payer_kind,
        {{ is_moving() }} as may_move
    from transactions
    left join revenue_stages on revenue_stages.revenue_stage = transactions.revenue_stage
),

named as (
    select
        owed.*,
        case payer_kind
            when 'debitura' then 'Debitura'
            when 'collection_partner' then coalesce(collection_partner, 'unknown')
            else 'unknown'
        end as payer,
        coalesce(earnings_currency, 'unknown') as currency,
        next_due_on as due_on
    from owed
)

select
    due_class,
    case due_class when 'overdue' then 1 when 'due' then 2 when 'not_before' then 3 else 4 end as due_class_order,
    due_on,
    cast(date_trunc('month', due_on) as date) as due_month,
    payment_due_on,
    payment_class,
    payer,
    payer_kind,
    revenue_stage,
    stage_order,
    currency,
    is_final,
    {{ is_expected() }} as is_expected_income,
    count(*) as transaction_count,
    {{ money_sum('referral_fee') }} as referral_fee,
    {{ money_sum('referral_fee_usd') }} as referral_fee_usd,
    {{ money_sum('referral_fee_usd', 'may_move') }} as of_which_estimate_usd,
    {{ money_sum('referral_fee_usd', 'is_clawback_risk') }} as clawback_risk_usd,
    max(days_in_stage) as days_in_stage_max,
    max(next_step collate "C") as next_step
from named
group by due_class, due_on, payment_class, payment_due_on, payer, payer_kind, revenue_stage, stage_order, currency, is_final
