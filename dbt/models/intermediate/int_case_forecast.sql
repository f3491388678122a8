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
    select made_on, days, payments_seen, unpaid_share_sum
    from {{ ref('int_delay_curves') }}
    where revenue_stage = 'NotYetCollected'
),

case_fees as (
    select * from {{ ref('int_case_fees') }}
),

months as (
    select
        dates.made_on,
        dates.share_left,
        numbers.horizon_months,
        case when numbers.horizon_months = 0 then 1
            else {{ month_end('dates.made_in_month + numbers.horizon_months - 1') }} - dates.made_on + 1 end as first_day,
        {{ month_end('dates.made_in_month + numbers.horizon_months') }} - dates.made_on as last_day
    from dates
    cross join generate_series(0, 12) as numbers (horizon_months)
),

-- Fees of the payments to come, by calendar month: a step is a month after the day, so a calendar month has parts of two.
booked as (
    select
        months.made_on,
        months.horizon_months,
        months.first_day,
        months.last_day,
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
    where months.last_day >= months.first_day
),

-- Between which two days of the delay curve a month's payments stand at the end of another month.
points as (
    select
        booked.made_on,
        booked.horizon_months as booked_in,
        months.horizon_months,
        booked.last_day - booked.first_day + 1 as booking_days,
        signs.sign,
        case when signs.sign = 1 then months.last_day - booked.first_day else months.last_day - booked.last_day - 1 end as days
    from booked
    inner join months on months.made_on = booked.made_on and months.horizon_months >= booked.horizon_months
    cross join (values (1), (-1)) as signs (sign)
),

-- The share of a month's payments that has not come at the end of another: the mean of the delay curve over these days.
unpaid as (
    select
        points.made_on,
        points.booked_in,
        points.horizon_months,
        cast(sum(points.sign * curves.unpaid_share_sum) as double precision) / max(points.booking_days) as unpaid_share
    from points
    inner join curves on curves.made_on = points.made_on and curves.days = points.days
    group by points.made_on, points.booked_in, points.horizon_months
),

shares as (
    select
        made_on,
        booked_in,
        horizon_months,
        greatest(coalesce(lag(unpaid_share) over (partition by made_on, booked_in order by horizon_months), 1) - unpaid_share, 0)
            as paid_share
    from unpaid
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
    shares.made_on,
    cast(shares.horizon_months as integer) as horizon_months,
    cast(min(booked.payments_seen) as bigint) as payments_seen,
    cast(sum({{ term('booked.fee_usd * shares.paid_share') }}) as decimal(28, 6)) as expected_usd,
    cast(sum({{ squared_term('booked.variance * shares.paid_share') }}) as decimal(38, 4)) as variance,
    cast(coalesce(max(came.actual_usd), 0) as decimal(28, 4)) as actual_usd
from shares
inner join booked on booked.made_on = shares.made_on and booked.horizon_months = shares.booked_in
left join came on came.made_on = shares.made_on and came.horizon_months = shares.horizon_months
group by shares.made_on, shares.horizon_months
