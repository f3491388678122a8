-- Money to come adds up to the transactions of its stages: rows, fees and USD to the last digit, per stage and currency.
with transactions as (
    select
        revenue_stage,
        coalesce(earnings_currency, 'unknown') as currency,
        count(*) as rows_found,
        coalesce(sum(referral_fee), 0) as fee,
        coalesce(sum(referral_fee_usd), 0) as usd,
        coalesce(sum(referral_fee_usd) filter (where is_overdue), 0) as overdue_usd
    from {{ ref('fct_transactions') }}
    group by revenue_stage, coalesce(earnings_currency, 'unknown')
),

expected as (
    select 'payment_calendar' as report, transactions.* from transactions where revenue_stage <> 'Paid'
    union all
    select 'receivables_by_collection_partner', transactions.*
    from transactions
    where revenue_stage in ('ConfirmedPendingInvoice', 'AwaitingCollectionPartnerPayment')
    union all
    select 'invoice_draft', transactions.* from transactions where revenue_stage = 'ReadyToInvoiceDebitura'
),

reported as (
    select
        'payment_calendar' as report,
        revenue_stage,
        currency,
        sum(transaction_count) as rows_found,
        sum(referral_fee) as fee,
        sum(referral_fee_usd) as usd,
        coalesce(sum(referral_fee_usd) filter (where due_class = 'overdue'), 0) as overdue_usd
    from {{ ref('payment_calendar') }}
    group by revenue_stage, currency
    union all
    select
        'receivables_by_collection_partner',
        revenue_stage,
        currency,
        sum(transaction_count),
        sum(referral_fee),
        sum(referral_fee_usd),
        sum(overdue_usd)
    from {{ ref('receivables_by_collection_partner') }}
    group by revenue_stage, currency
    union all
    select
        'invoice_draft',
        'ReadyToInvoiceDebitura',
        currency,
        count(*),
        max(currency_total_fee),
        coalesce(sum(referral_fee_usd), 0),
        0
    from {{ ref('invoice_draft') }}
    group by currency
)

select
    coalesce(expected.report, reported.report) as report,
    coalesce(expected.revenue_stage, reported.revenue_stage) as revenue_stage,
    coalesce(expected.currency, reported.currency) as currency
from expected
full join reported
    on reported.report = expected.report
    and reported.revenue_stage = expected.revenue_stage
    and reported.currency = expected.currency
where expected.rows_found is distinct from reported.rows_found
    or expected.fee is distinct from reported.fee
    or expected.usd is distinct from reported.usd
    or expected.overdue_usd is distinct from reported.overdue_usd
