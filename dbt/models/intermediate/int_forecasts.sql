{{ config(materialized='table') }}

with dates as (
    select * from {{ ref('int_forecast_dates') }}
),

pipeline as (
    select * from {{ ref('int_pipeline_forecast') }}
),

open_cases as (
    select * from {{ ref('int_case_forecast') }}
),

this_day as (
    select max(last_whole_month) as last_whole_month from dates where is_now
),

sources as (
    select made_on, 'pipeline' as source, revenue_stage, horizon_months, payments_seen, expected_usd, variance, actual_usd
    from pipeline
    union all
    select made_on, 'open_cases', 'NotYetCollected', horizon_months, payments_seen, expected_usd, variance, actual_usd
    from open_cases
),

summed as (
    select made_on, source, revenue_stage, horizon_months, payments_seen, expected_usd, variance, actual_usd
    from sources
    union all
    select made_on, 'pipeline', 'Total', horizon_months, min(payments_seen), sum(expected_usd), sum(variance), sum(actual_usd)
    from sources
    where source = 'pipeline'
    group by made_on, horizon_months
    union all
    select made_on, 'total', 'Total', horizon_months, min(payments_seen), sum(expected_usd), sum(variance), sum(actual_usd)
    from sources
    group by made_on, horizon_months
)

select
    summed.made_on,
    dates.is_now,
    summed.source,
    summed.revenue_stage,
    cast(summed.horizon_months as integer) as horizon_months,
    dates.made_in_month,
    cast(dates.made_in_month + summed.horizon_months as integer) as month_number,
    cast(summed.payments_seen as bigint) as payments_seen,
    cast(summed.expected_usd as decimal(28, 6)) as expected_usd,
    cast(summed.variance as decimal(38, 4)) as variance,
    case when not dates.is_now and dates.made_in_month + summed.horizon_months <= this_day.last_whole_month
        then cast(summed.actual_usd as decimal(28, 4)) end as actual_usd
from summed
inner join dates on dates.made_on = summed.made_on
cross join this_day
