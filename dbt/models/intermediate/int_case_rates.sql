{{ config(materialized='table') }}

{%- set window = var('forecast_rate_months') | int %}
{%- set age_group -%}
case
    when months.month - cells.created_month <= 0 then 0
    when months.month - cells.created_month <= 2 then 1
    when months.month - cells.created_month <= 5 then 3
    when months.month - cells.created_month <= 11 then 6
    when months.month - cells.created_month <= 23 then 12
    else 24
end
{%- endset %}

with dates as (
    select * from {{ ref('int_forecast_dates') }}
),

stays as (
    select * from {{ ref('int_case_stays') }}
),

case_fees as (
    select * from {{ ref('int_case_fees') }}
),

bounds as (
    select
        min(last_whole_month) - {{ window + 12 }} as first_month,
        max(made_in_month) as last_month
    from dates
),

months as (
    select numbers.back + bounds.first_month as month
    from bounds
    cross join generate_series(0, {{ window + 14 + var('forecast_backtest_months') | int }}) as numbers (back)
    where numbers.back + bounds.first_month <= bounds.last_month
),

cells as (
    select
        attribution,
        engagement_phase,
        created_month,
        from_month,
        to_month,
        count(*) as cases,
        sum(gross_usd) as gross_usd,
        sum({{ squared('gross_usd') }}) as gross_usd_squared
    from stays
    group by attribution, engagement_phase, created_month, from_month, to_month
),

-- Open cases at the end of each month.
open_cases as (
    select
        months.month,
        cells.attribution,
        cells.engagement_phase,
        {{ age_group }} as age_group,
        sum(cells.cases) as cases,
        sum(cells.gross_usd) as gross_usd,
        sum(cells.gross_usd_squared) as gross_usd_squared
    from cells
    inner join months on months.month >= cells.from_month and months.month < cells.to_month
    group by months.month, cells.attribution, cells.engagement_phase, age_group
),

-- What they have brought one, two and more months later.
fees as (
    select
        months.month,
        cells.booked_month - months.month as step,
        cells.attribution,
        cells.engagement_phase,
        {{ age_group }} as age_group,
        sum(cells.payments) as payments,
        sum(cells.fee_usd) as fee_usd,
        sum(cells.fee_usd_squared) as fee_usd_squared
    from case_fees as cells
    inner join months
        on months.month >= cells.from_month and months.month < cells.to_month
        and months.month < cells.booked_month and months.month >= cells.booked_month - 12
    group by months.month, cells.booked_month - months.month, cells.attribution, cells.engagement_phase, age_group
),

steps as (
    select
        dates.made_on,
        dates.made_in_month,
        numbers.step,
        dates.last_whole_month - numbers.step as last_month
    from dates
    cross join generate_series(1, 12) as numbers (step)
),

base as (
    select
        steps.made_on,
        steps.step,
        open_cases.attribution,
        open_cases.engagement_phase,
        open_cases.age_group,
        sum(open_cases.gross_usd) as gross_usd,
        sum(open_cases.gross_usd_squared) as gross_usd_squared,
        sum(coalesce(fees.payments, 0)) as payments,
        sum(coalesce(fees.fee_usd, 0)) as fee_usd,
        sum(coalesce(fees.fee_usd_squared, 0)) as fee_usd_squared
    from steps
    inner join open_cases on open_cases.month <= steps.last_month and open_cases.month > steps.last_month - {{ window }}
    left join fees
        on fees.month = open_cases.month
        and fees.step = steps.step
        and fees.attribution = open_cases.attribution
        and fees.engagement_phase = open_cases.engagement_phase
        and fees.age_group = open_cases.age_group
    group by steps.made_on, steps.step, open_cases.attribution, open_cases.engagement_phase, open_cases.age_group
),

{% set levels = [
    ('by_phase', ['attribution', 'engagement_phase', 'age_group']), ('by_age', ['attribution', 'age_group']),
    ('by_attribution', ['attribution']), ('overall', []),
] -%}
{% for level, keys in levels -%}
{{ level }} as (
    select
        made_on,
        step,
        {%- for key in keys %}
        {{ key }},
        {%- endfor %}
        sum(payments) as payments,
        cast(sum(fee_usd) as double precision) / nullif(cast(sum(gross_usd) as double precision), 0) as fee_rate,
        cast(sum(fee_usd_squared) as double precision) / nullif(cast(sum(gross_usd_squared) as double precision), 0)
            as fee_rate_squared
    from base
    group by made_on, step{% for key in keys %}, {{ key }}{% endfor %}
),

{% endfor -%}

-- What is open on the day, with the rates of the narrowest group that has enough payments.
rated as (
    select
        steps.made_on,
        steps.step,
        standing.cases,
        standing.gross_usd,
        standing.gross_usd_squared,
        {%- for column in ['fee_rate', 'fee_rate_squared', 'payments'] %}
        coalesce(
            case
                when by_phase.payments >= {{ var('forecast_group_payments') }} then by_phase.{{ column }}
                when by_age.payments >= {{ var('forecast_group_payments') }} then by_age.{{ column }}
                when by_attribution.payments >= {{ var('forecast_group_payments') }} then by_attribution.{{ column }}
                else overall.{{ column }}
            end, 0
        ) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from steps
    inner join open_cases as standing on standing.month = steps.made_in_month
    left join by_phase
        on by_phase.made_on = steps.made_on
        and by_phase.step = steps.step
        and by_phase.attribution = standing.attribution
        and by_phase.engagement_phase = standing.engagement_phase
        and by_phase.age_group = standing.age_group
    left join by_age
        on by_age.made_on = steps.made_on
        and by_age.step = steps.step
        and by_age.attribution = standing.attribution
        and by_age.age_group = standing.age_group
    left join by_attribution
        on by_attribution.made_on = steps.made_on
        and by_attribution.step = steps.step
        and by_attribution.attribution = standing.attribution
    left join overall
        on overall.made_on = steps.made_on
        and overall.step = steps.step
)

select
    made_on,
    cast(step as integer) as step,
    cast(sum(cases) as bigint) as cases,
    cast(sum(gross_usd) as decimal(28, 2)) as gross_usd,
    cast(min(payments) as bigint) as payments_seen,
    cast(sum({{ term('cast(gross_usd as double precision) * fee_rate') }}) as decimal(28, 6)) as fee_usd,
    cast(sum({{ squared_term('cast(gross_usd_squared as double precision) * fee_rate_squared') }}) as decimal(38, 4)) as variance
from rated
group by made_on, step
