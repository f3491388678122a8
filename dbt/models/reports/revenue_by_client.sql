with transactions as (
    select * from {{ ref('fct_transactions') }}
),

clients as (
    select * from {{ ref('dim_clients') }}
),

sums as (
    select
        creditor_id,
        collected_month as month,
        revenue_stage,
        coalesce(earnings_currency, 'unknown') as currency,
        {{ is_expected() }} as is_expected_income,
        max(external_tenant_id collate "C") as external_tenant_id,
        max(company_name collate "C") as company_name,
        count(*) as transaction_count,
        {{ money_sum('referral_fee') }} as referral_fee,
        {{ money_sum('referral_fee_usd') }} as referral_fee_usd,
        {{ money_sum('referral_fee_usd', is_moving()) }} as of_which_estimate_usd,
        {{ money_sum('referral_fee_usd', 'is_clawback_risk') }} as clawback_risk_usd
    from transactions
    group by creditor_id, collected_month, revenue_stage, coalesce(earnings_currency, 'unknown')
)

select
    sums.creditor_id,
    coalesce(clients.external_tenant_id, sums.external_tenant_id) as external_tenant_id,
    coalesce(clients.company_name, sums.company_name) as company_name,
    sums.month,
    coalesce({{ month_text('sums.month') }}, 'unknown') as month_label,
    sums.revenue_stage,
    sums.currency,
    sums.is_expected_income,
    sums.transaction_count,
    sums.referral_fee,
    sums.referral_fee_usd,
    sums.of_which_estimate_usd,
    sums.clawback_risk_usd
from sums
left join clients on clients.creditor_id = sums.creditor_id
