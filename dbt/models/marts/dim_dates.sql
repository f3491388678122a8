with clock as (
    select as_of_day from {{ ref('int_clock') }}
),

dates as (
    select {{ days_from("cast('" ~ var('dates_from') ~ "' as date)", 'as_of_day + ' ~ var('dates_ahead_days')) }} as date_day
    from clock
)

select
    date_day,
    cast(date_trunc('week', date_day) as date) as date_week,
    cast(date_trunc('month', date_day) as date) as date_month,
    cast(date_trunc('quarter', date_day) as date) as date_quarter,
    cast(date_trunc('year', date_day) as date) as date_year,
    {{ month_text('date_day') }} as month_label,
    cast(extract(isodow from date_day) as integer) as day_of_week,
    extract(isodow from date_day) < 6 as is_business_day
from dates
