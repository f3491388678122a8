{{ config(materialized='table') }}

{%- set weight = var('forecast_prior_weight') | int %}
{%- set lookback = var('forecast_delay_days') | int %}

with dates as (
    select made_on from {{ ref('int_forecast_dates') }}
),

stays as (
    select revenue_stage, entered_on, paid_on, transaction_count
    from {{ ref('int_stage_stays') }}
    where entered_on is not null
),

stages as (
    select revenue_stage from {{ ref('revenue_stages') }} where stage_order < 6
    union all
    select 'NotYetCollected'
),

-- Each stay as it was known on the day: paid after so many days, or not yet paid after so many (right-censored).
observed as (
    select
        dates.made_on,
        stays.revenue_stage,
        least(coalesce(stays.paid_on, dates.made_on), dates.made_on) - stays.entered_on as days,
        sum(case when stays.paid_on <= dates.made_on then stays.transaction_count else 0 end) as paid,
        sum(stays.transaction_count) as ended
    from dates
    inner join stays
        on stays.entered_on <= dates.made_on and stays.entered_on > dates.made_on - {{ lookback }}
    group by
        dates.made_on, stays.revenue_stage, least(coalesce(stays.paid_on, dates.made_on), dates.made_on) - stays.entered_on
),

grid as (
    select
        dates.made_on,
        stages.revenue_stage,
        numbers.days,
        cast(1.0 as double precision) / ({{ assumed_days('stages.revenue_stage') }}) as assumed_chance
    from dates
    cross join stages
    cross join generate_series(0, {{ var('forecast_curve_days') }}) as numbers (days)
),

at_risk as (
    select
        grid.made_on,
        grid.revenue_stage,
        grid.days,
        grid.assumed_chance,
        coalesce(observed.paid, 0) as paid,
        sum(coalesce(observed.ended, 0)) over (
            partition by grid.made_on, grid.revenue_stage order by grid.days desc rows between unbounded preceding and current row
        ) as at_risk,
        sum(coalesce(observed.paid, 0)) over (partition by grid.made_on, grid.revenue_stage) as payments_seen
    from grid
    left join observed
        on observed.made_on = grid.made_on
        and observed.revenue_stage = grid.revenue_stage
        and observed.days = grid.days
),

-- Kaplan and Meier's product of the daily chances to stay unpaid; the assumed chance counts as {{ weight }} transactions at risk.
survival as (
    select
        made_on,
        revenue_stage,
        days,
        cast(payments_seen as bigint) as payments_seen,
        cast(exp(cast(sum(cast(ln(
            1 - cast(paid + {{ weight }} * assumed_chance as double precision) / cast(at_risk + {{ weight }} as double precision)
        ) as decimal(14, 12))) over by_days as double precision)) as decimal(10, 9)) as unpaid_share
    from at_risk
    window by_days as (partition by made_on, revenue_stage order by days rows between unbounded preceding and current row)
)

select
    made_on,
    revenue_stage,
    cast(days as integer) as days,
    payments_seen,
    unpaid_share,
    cast(sum(unpaid_share) over (
        partition by made_on, revenue_stage order by days rows between unbounded preceding and current row
    ) as decimal(18, 9)) as unpaid_share_sum
from survival
