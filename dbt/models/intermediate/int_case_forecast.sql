{{ config(materialized='table') }}

with dates as (
    select * from {{ ref('int_forecast_dates') }}
),

rates as (
    select
        made_on,
        step,
        payments_seen,
        cast(fee_usd as double precision) as fee_usd,
        cast(variance as double precision) as variance
    from {{ ref('int_case_rates') }}
),

curves as (
    select * from {{ ref('int_delay_months') }}
),

case_fees as (
    select * from {{ ref('int_case_fees') }}
),

months as (
    select
        dates.made_on,
        dates.share_left,
        numbers.horizon_months
    from dates
    cross join generate_series(0, 12) as numbers (horizon_months)
),

-- Fees of the payments to come, by calendar month: a step is a month after the day, so a calendar month has parts of two.
booked as (
    select
        months.made_on,
        months.horizon_months,
        coalesce(rates.fee_usd, 0) * (case when months.horizon_months = 0 then 0 else 1 - months.share_left end)
        + coalesce(next_rates.fee_usd, 0) * months.share_left as fee_usd,
        coalesce(rates.variance, 0) * (case when months.horizon_months = 0 then 0 else 1 - months.share_left end)
        + coalesce(next_rates.variance, 0) * months.share_left as variance,
        coalesce(rates.payments_seen, next_rates.payments_seen, 0) as payments_seen
    from months
    left join rates
        on rates.made_on = months.made_on and rates.step = months.horizon_months
    left join rates as next_rates
        on next_rates.made_on = months.made_on and next_rates.step = least(months.horizon_months + 1, 12)
),

delays as (
    select
        made_on,
        months,
        cast(coalesce(lag(unpaid_share) over (partition by made_on order by months), 1) - unpaid_share as double precision)
            as paid_share
    from curves
),

came as (
    select
        dates.made_on,
        case_fees.paid_month - dates.made_in_month as horizon_months,
        sum(case_fees.fee_usd) as actual_usd
    from dates
    inner join case_fees
        on case_fees.from_month <= dates.made_in_month and case_fees.to_month > dates.made_in_month
        and case_fees.booked_month > dates.made_in_month
    where not dates.is_now and case_fees.paid_month is not null
    group by dates.made_on, case_fees.paid_month - dates.made_in_month
)

select
    months.made_on,
    cast(months.horizon_months as integer) as horizon_months,
    cast(min(booked.payments_seen) as bigint) as payments_seen,
    cast(sum({{ term('booked.fee_usd * delays.paid_share') }}) as decimal(28, 6)) as expected_usd,
    cast(sum({{ squared_term('booked.variance * delays.paid_share') }}) as decimal(38, 4)) as variance,
    cast(coalesce(max(came.actual_usd), 0) as decimal(28, 4)) as actual_usd
from months
inner join booked on booked.made_on = months.made_on and booked.horizon_months <= months.horizon_months
inner join delays on delays.made_on = months.made_on and delays.months = months.horizon_months - booked.horizon_months
left join came on came.made_on = months.made_on and came.horizon_months = months.horizon_months
group by months.made_on, months.horizon_months
