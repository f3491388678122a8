{{ config(materialized='table') }}

{%- set months_back = var('forecast_rate_months') | int + 12 -%}
with dates as (
    select min(last_whole_month) as first_month from {{ ref('int_forecast_dates') }}
),

clock as (
    select {{ month_number(utc_date('transactions_first_load_at')) }} as first_load_month from {{ ref('int_clock') }}
),

cases as (
    select * from {{ ref('fct_cases') }}
),

clients as (
    select creditor_id, linked_at, deleted_at from {{ ref('dim_clients') }}
),

transactions as (
    select earnings_currency, debitura_revenue, debitura_revenue_usd from {{ ref('fct_transactions') }}
),

phase_changes as (
    select case_id, from_value, to_value, not_after
    from {{ ref('fct_case_changes') }}
    where field = 'engagement_phase'
),

usd_rates as (
    select
        earnings_currency as currency,
        cast(sum(debitura_revenue_usd) as double precision) / cast(sum(debitura_revenue) as double precision) as usd_rate
    from transactions
    where debitura_revenue > 0 and debitura_revenue_usd > 0
    group by earnings_currency
),

-- Cases that may earn, with the months from which and to which they were open for a payment.
earning as (
    select
        cases.case_id,
        cases.attribution,
        cases.engagement_phase,
        {{ month_number(utc_date('cases.created_at')) }} as created_month,
        least(
            case when cases.is_open then 999999 else {{ month_number(utc_date('cases.finished_at')) }} end,
            coalesce({{ month_number(utc_date('clients.deleted_at')) }}, 999999)
        ) as ended_month,
        cast(least(
            cast(cases.gross_amount as double precision) * case when cases.currency = 'USD' then 1 else usd_rates.usd_rate end,
            1000000000000
        ) as decimal(18, 2)) as gross_usd
    from cases
    left join clients on clients.creditor_id = cases.creditor_id
    left join usd_rates on usd_rates.currency = cases.currency
    where cases.gross_amount > 0
        and cases.created_at is not null
        and (cases.is_open or cases.finished_at is not null)
        and (cases.currency = 'USD' or usd_rates.usd_rate is not null)
        and coalesce(cases.expected_referral_rate_pct, 1) <> 0
        and ({{ utc_date('cases.created_at') }} < {{ utc_date('clients.linked_at') }}) is not true
),

numbered as (
    select
        phase_changes.case_id,
        phase_changes.from_value,
        phase_changes.to_value,
        {{ month_number(utc_date('phase_changes.not_after')) }} as changed_month,
        lead({{ month_number(utc_date('phase_changes.not_after')) }}) over by_time as next_month,
        row_number() over by_time as place
    from phase_changes
    window by_time as (partition by phase_changes.case_id order by phase_changes.not_after)
),

first_changes as (
    select case_id, from_value, changed_month from numbered where place = 1
),

-- The month-ends at which a case was open, with its phase. Phases before the first load are not known.
stays as (
    select
        earning.case_id,
        earning.attribution,
        'unknown' as engagement_phase,
        earning.created_month,
        earning.created_month as from_month,
        least(clock.first_load_month, earning.ended_month) as to_month,
        earning.gross_usd
    from earning
    cross join clock
    union all
    select
        earning.case_id,
        earning.attribution,
        coalesce(case when first_changes.case_id is null then earning.engagement_phase else first_changes.from_value end, 'none'),
        earning.created_month,
        greatest(earning.created_month, clock.first_load_month),
        least(coalesce(first_changes.changed_month, 999999), earning.ended_month),
        earning.gross_usd
    from earning
    cross join clock
    left join first_changes on first_changes.case_id = earning.case_id
    union all
    select
        earning.case_id,
        earning.attribution,
        coalesce(numbered.to_value, 'none'),
        earning.created_month,
        greatest(earning.created_month, numbered.changed_month),
        least(coalesce(numbered.next_month, 999999), earning.ended_month),
        earning.gross_usd
    from earning
    inner join numbered on numbered.case_id = earning.case_id
)

-- As far back as the rates of the first forecast go.
select
    stays.case_id,
    stays.attribution,
    stays.engagement_phase,
    cast(stays.created_month as integer) as created_month,
    cast(stays.from_month as integer) as from_month,
    cast(stays.to_month as integer) as to_month,
    stays.gross_usd
from stays
cross join dates
where stays.from_month < stays.to_month and stays.to_month > dates.first_month - {{ months_back }}
