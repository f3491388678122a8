with fct_cases as (
    select * from {{ ref('fct_cases') }}
),

cases as (
    select
        coalesce(debtor_country, 'unknown') as debtor_country,
        coalesce(engagement_phase, 'none') as engagement_phase,
        outcome,
        coalesce(currency, 'unknown') as currency,
        gross_amount,
        remainder,
        recovered_amount,
        days_to_close,
        earning_transaction_count,
        fee_total_usd,
        fee_total_of_which_estimate_usd,
        clawback_risk_usd
    from fct_cases
),

sums as (
    select
        debtor_country,
        engagement_phase,
        outcome,
        currency,
        count(*) as cases,
        {{ money_sum('gross_amount', "outcome <> 'merged'") }} as gross_amount,
        {{ money_sum('remainder', "outcome <> 'merged'") }} as remainder,
        {{ money_sum('recovered_amount', "outcome <> 'merged'") }} as recovered_amount,
        {{ money_sum('gross_amount', "outcome <> 'merged' and recovered_amount is not null") }} as gross_of_known_recovery,
        {{ money_sum('gross_amount', "outcome = 'merged'") }} as merged_gross_amount,
        cast(percentile_disc(0.5) within group (order by days_to_close) as integer) as days_to_close_median,
        max(days_to_close) as days_to_close_max,
        count(*) filter (where earning_transaction_count > 0) as cases_earning,
        {{ money_sum('fee_total_usd') }} as fee_total_usd,
        {{ money_sum('fee_total_of_which_estimate_usd') }} as fee_total_of_which_estimate_usd,
        {{ money_sum('clawback_risk_usd') }} as clawback_risk_usd
    from cases
    group by debtor_country, engagement_phase, outcome, currency
)

select
    debtor_country,
    engagement_phase,
    outcome,
    currency,
    cases,
    gross_amount,
    remainder,
    recovered_amount,
    cast({{ div('recovered_amount', 'gross_of_known_recovery', 6) }} as decimal(28, 6)) as recovered_share_of_gross,
    merged_gross_amount,
    days_to_close_median,
    days_to_close_max,
    cases_earning,
    fee_total_usd,
    fee_total_of_which_estimate_usd,
    clawback_risk_usd
from sums
