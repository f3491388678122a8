{{ config(materialized='table') }}

{%- set weight = var('forecast_prior_weight') | int %}
{%- set lookback = var('forecast_delay_days') | int %}

with dates as (
    select made_on from {{ ref('int_forecast_dates') }}
),

stays as (
    select revenue_stage, clock_from, left_on, paid_on, transaction_count
    from {{ ref('int_stage_stays') }}
    where entered_on is not null and revenue_stage <> 'NotYetCollected'
),

stages as (
    select revenue_stage from {{ ref('revenue_stages') }} where stage_order < 6
),

-- Days on the stage's clock from which a curve of its own begins; -1 is the beginning.
landmarks (landmark) as (
    values {% for landmark in var('forecast_landmarks') %}({{ landmark }}){{ ', ' if not loop.last }}{% endfor %}
),

-- Stays that were in the stage at the landmark, as they were known on the day: paid after so many days, or not yet paid after
-- so many (right-censored).
observed as (
    select
        dates.made_on,
        stays.revenue_stage,
        landmarks.landmark,
        greatest(
            least(coalesce(stays.paid_on, dates.made_on), dates.made_on) - stays.clock_from - greatest(landmarks.landmark, 0), 0
        ) as days,
        sum(case when stays.paid_on <= dates.made_on then stays.transaction_count else 0 end) as paid,
        sum(stays.transaction_count) as ended
    from dates
    inner join stays
        on stays.clock_from <= dates.made_on and stays.clock_from > dates.made_on - {{ lookback }}
    inner join landmarks
        on landmarks.landmark < 0
        or (
            stays.clock_from + landmarks.landmark <= dates.made_on
            and (stays.left_on is null or stays.left_on > stays.clock_from + landmarks.landmark)
        )
    group by
        dates.made_on,
        stays.revenue_stage,
        landmarks.landmark,
        greatest(
            least(coalesce(stays.paid_on, dates.made_on), dates.made_on) - stays.clock_from - greatest(landmarks.landmark, 0), 0
        )
),

grid as (
    select
        dates.made_on,
        stages.revenue_stage,
        landmarks.landmark,
        numbers.days,
        case when numbers.days < 0 then 0
            else cast(1 as double precision) / ({{ assumed_days('stages.revenue_stage') }}) end as assumed_chance
    from dates
    cross join stages
    cross join landmarks
    cross join generate_series(-1, {{ var('forecast_curve_days') }}) as numbers (days)
),

at_risk as (
    select
        grid.made_on,
        grid.revenue_stage,
        grid.landmark,
        grid.days,
        grid.assumed_chance,
        coalesce(observed.paid, 0) as paid,
        sum(coalesce(observed.ended, 0)) over (
            partition by grid.made_on, grid.revenue_stage, grid.landmark order by grid.days desc
            rows between unbounded preceding and current row
        ) as at_risk,
        sum(coalesce(observed.paid, 0)) over (partition by grid.made_on, grid.revenue_stage, grid.landmark) as payments_seen
    from grid
    left join observed
        on observed.made_on = grid.made_on
        and observed.revenue_stage = grid.revenue_stage
        and observed.landmark = grid.landmark
        and observed.days = grid.days
)

-- Kaplan and Meier's product of the daily chances to stay unpaid; the assumed chance counts as {{ weight }} transactions at risk.
select
    made_on,
    revenue_stage,
    cast(landmark as integer) as landmark,
    cast(days as integer) as days,
    cast(payments_seen as bigint) as payments_seen,
    cast(exp(cast(sum(cast(ln(
        1 - cast(paid + {{ weight }} * assumed_chance as double precision) / cast(at_risk + {{ weight }} as double precision)
    ) as decimal(14, 12))) over by_days as double precision)) as decimal(10, 9)) as unpaid_share
from at_risk
window by_days as (
    partition by made_on, revenue_stage, landmark order by days rows between unbounded preceding and current row
)
