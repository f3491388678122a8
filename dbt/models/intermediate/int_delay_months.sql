{{ config(materialized='table') }}

{%- set weight = var('forecast_prior_weight') | int %}

with dates as (
    select made_on, last_whole_month, first_load_month from {{ ref('int_forecast_dates') }}
),

stays as (
    select
        {{ month_number('entered_on') }} as booked_month,
        {{ month_number('paid_on') }} as paid_month,
        sum(transaction_count) as transaction_count
    from {{ ref('int_stage_stays') }}
    where revenue_stage = 'NotYetCollected'
    group by {{ month_number('entered_on') }}, {{ month_number('paid_on') }}
),

-- What turned up in a month of the last year that is over: paid so many months later, or not yet paid (right-censored).
observed as (
    select
        dates.made_on,
        least(coalesce(stays.paid_month, dates.last_whole_month), dates.last_whole_month) - stays.booked_month as months,
        sum(case when stays.paid_month <= dates.last_whole_month then stays.transaction_count else 0 end) as paid,
        sum(stays.transaction_count) as ended
    from dates
    inner join stays
        on stays.booked_month <= dates.last_whole_month
        and stays.booked_month > dates.last_whole_month - 12
        and stays.booked_month > dates.first_load_month
    group by dates.made_on, least(coalesce(stays.paid_month, dates.last_whole_month), dates.last_whole_month) - stays.booked_month
),

at_risk as (
    select
        dates.made_on,
        numbers.months,
        coalesce(observed.paid, 0) as paid,
        sum(coalesce(observed.ended, 0)) over (
            partition by dates.made_on order by numbers.months desc rows between unbounded preceding and current row
        ) as at_risk,
        sum(coalesce(observed.paid, 0)) over (partition by dates.made_on) as payments_seen
    from dates
    cross join generate_series(0, 12) as numbers (months)
    left join observed on observed.made_on = dates.made_on and observed.months = numbers.months
)

-- The assumed chance of a month, that of the documented terms, counts as {{ weight }} transactions at risk.
select
    made_on,
    cast(months as integer) as months,
    cast(payments_seen as bigint) as payments_seen,
    cast(exp(cast(sum(cast(ln(
        1 - (cast(paid as double precision) + {{ weight }} * 30.0 / ({{ assumed_days("'NotYetCollected'") }}))
        / cast(at_risk + {{ weight }} as double precision)
    ) as decimal(14, 12))) over by_months as double precision)) as decimal(10, 9)) as unpaid_share
from at_risk
window by_months as (partition by made_on order by months rows between unbounded preceding and current row)
