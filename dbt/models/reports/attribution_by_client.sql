with clients as (
    select * from {{ ref('dim_clients') }}
),

fct_cases as (
    select * from {{ ref('fct_cases') }}
),

transactions as (
    select * from {{ ref('fct_transactions') }}
),

reconciliation as (
    select * from {{ ref('payout_reconciliation') }} where scope = 'client'
),

cases as (
    select
        coalesce(creditor_id, 'unknown') as creditor_id,
        max(external_tenant_id collate "C") as external_tenant_id,
        max(company_name collate "C") as company_name,
        count(*) as cases_total,
        count(*) filter (where is_open) as cases_open,
        count(*) filter (where not is_open) as cases_closed,
        count(*) filter (where earning_transaction_count > 0) as cases_earning
    from fct_cases
    group by coalesce(creditor_id, 'unknown')
),

fees as (
    select
        coalesce(creditor_id, 'unknown') as creditor_id,
        max(external_tenant_id collate "C") as external_tenant_id,
        max(company_name collate "C") as company_name,
        count(*) as transactions_total,
        min(fee_pct) filter (where debitura_revenue <> 0 and {{ is_expected() }}) as rate_min_pct,
        max(fee_pct) filter (where debitura_revenue <> 0 and {{ is_expected() }}) as rate_max_pct,
        {{ money_sum('debitura_revenue_usd', 'referral_fee_usd is not null and ' ~ is_expected()) }} as revenue_usd,
        {{ money_sum('referral_fee_usd', 'debitura_revenue_usd is not null and ' ~ is_expected()) }} as fee_of_revenue_usd,
        min(occurred_at) filter (where referral_fee_usd > 0) as first_fee_at,
        max(occurred_at) filter (where referral_fee_usd > 0) as last_fee_at,
        {{ fee_columns() }}
    from transactions
    group by coalesce(creditor_id, 'unknown')
),

everyone as (
    select creditor_id from clients where client_record <> 'unknown'
    union
    select creditor_id from cases
    union
    select creditor_id from fees
),

all_fees as (
    select {{ money_sum('fee_total_usd') }} as fee_total_usd from fees
)

select
    everyone.creditor_id,
    coalesce(clients.external_tenant_id, cases.external_tenant_id, fees.external_tenant_id) as external_tenant_id,
    coalesce(clients.company_name, cases.company_name, fees.company_name) as company_name,
    clients.country,
    coalesce(clients.client_record, 'unknown') as client_record,
    coalesce(clients.attribution, 'unknown') as attribution,
    coalesce(clients.onboarding_state, 'unknown') as onboarding_state,
    clients.linked_at,
    cast(fees.rate_min_pct as decimal(28, 6)) as rate_min_pct,
    cast({{ div('100 * fees.fee_of_revenue_usd', 'fees.revenue_usd', 6) }} as decimal(28, 6)) as rate_weighted_pct,
    cast(fees.rate_max_pct as decimal(28, 6)) as rate_max_pct,
    coalesce(cases.cases_total, 0) as cases_total,
    coalesce(cases.cases_open, 0) as cases_open,
    coalesce(cases.cases_closed, 0) as cases_closed,
    coalesce(cases.cases_earning, 0) as cases_earning,
    coalesce(fees.transactions_total, 0) as transactions_total,
    {{ fee_columns_or_zero('fees') }},
    fees.first_fee_at,
    fees.last_fee_at,
    cast({{ div('coalesce(fees.fee_total_usd, 0)', 'all_fees.fee_total_usd', 6) }} as decimal(28, 6)) as share_of_fees,
    clients.earnings_usd as api_earnings_usd,
    cast(case earnings.verdict when 'equal' then 0 when 'differs' then earnings.usd_difference end as decimal(28, 4))
        as earnings_difference_usd,
    coalesce(earnings.verdict, 'unproven') as earnings_verdict,
    earnings.reading as earnings_reading,
    clients.cases_total as api_cases_total,
    cast(case counted.verdict when 'equal' then 0 when 'differs' then counted.count_difference end as bigint) as cases_difference
from everyone
cross join all_fees
left join clients on clients.creditor_id = everyone.creditor_id
left join cases on cases.creditor_id = everyone.creditor_id
left join fees on fees.creditor_id = everyone.creditor_id
left join reconciliation as earnings on earnings.creditor_id = everyone.creditor_id and earnings.stage = 'earnings_usd'
left join reconciliation as counted on counted.creditor_id = everyone.creditor_id and counted.stage = 'cases_total'
