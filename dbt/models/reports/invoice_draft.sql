with transactions as (
    select * from {{ ref('fct_transactions') }} where revenue_stage = 'ReadyToInvoiceDebitura'
),

lines as (
    select
        transactions.*,
        coalesce(earnings_currency, 'unknown') as currency,
        {{ utc_date('occurred_at') }} as collected_on,
        {{ is_moving() }} or coalesce(is_clawback_risk, false) or is_recognized is not true as may_be_clawed_back
    from transactions
)

select
    currency,
    cast(row_number() over (
        partition by currency
        order by company_name collate "C", creditor_id collate "C", occurred_at, transaction_id collate "C"
    ) as integer) as line_number,
    creditor_id,
    external_tenant_id,
    company_name,
    transaction_id,
    case_id,
    case_reference,
    occurred_at,
    collected_on,
    referral_fee_pct,
    fee_pct,
    referral_fee,
    referral_fee_usd,
    cast(coalesce(sum(referral_fee) over (partition by currency, creditor_id), 0) as decimal(28, 4)) as client_total_fee,
    cast(coalesce(sum(referral_fee) over (partition by currency), 0) as decimal(28, 4)) as currency_total_fee,
    may_be_clawed_back
from lines
