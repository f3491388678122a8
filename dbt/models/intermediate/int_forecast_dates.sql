-- A table, like all that the forecast rests on: small, and read several times.
{{ config(materialized='table') }}

with clock as (
    select
        as_of_day,
        {{ month_number('as_of_day') }} as this_month,
        {{ utc_date('transactions_first_load_at') }} as first_load_on,
        {{ month_number(utc_date('transactions_first_load_at')) }} as first_load_month
    from {{ ref('int_clock') }}
    where as_of is not null and transactions_first_load_at is not null
),

-- Month-ends that are over, back to the one after the first load.
month_ends as (
    select
        {{ month_end('clock.this_month - numbers.back') }} as made_on,
        false as is_now,
        clock.this_month - numbers.back as made_in_month,
        clock.this_month - numbers.back as last_whole_month,
        0 as days_left,
        cast(0 as double precision) as share_left,
        clock.first_load_on,
        clock.first_load_month
    from clock
    cross join generate_series(1, {{ var('forecast_backtest_months') }}) as numbers (back)
    where clock.this_month - numbers.back >= clock.first_load_month
),

today as (
    select
        as_of_day as made_on,
        true as is_now,
        this_month as made_in_month,
        this_month - 1 as last_whole_month,
        {{ month_end('this_month') }} - as_of_day as days_left,
        cast({{ month_end('this_month') }} - as_of_day as double precision)
        / ({{ month_end('this_month') }} - {{ month_start('this_month') }} + 1) as share_left,
        first_load_on,
        first_load_month
    from clock
)

select
    made_on,
    is_now,
    made_in_month,
    last_whole_month,
    cast(days_left as integer) as days_left,
    share_left,
    first_load_on,
    first_load_month
from (
    select * from month_ends
    union all
    select * from today
) as dates
