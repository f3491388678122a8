{{ config(materialized='table') }}

{%- set lookback = var('forecast_delay_days') | int %}

with dates as (
    select * from {{ ref('int_forecast_dates') }}
),

stays as (
    select * from {{ ref('int_stage_stays') }} where revenue_stage <> 'NotYetCollected'
),

curves as (
    select * from {{ ref('int_delay_curves') }}
),

awaited as (
    select revenue_stage from {{ ref('revenue_stages') }} where stage_order < 6
),

transactions as (
    select
        revenue_stage,
        case when revenue_stage in ('Pending', 'ConfirmedPendingInvoice') then {{ next_invoice_day(utc_date('stage_seen_at')) }}
            else {{ utc_date('stage_seen_at') }} end as clock_from,
        greatest(coalesce(referral_fee_usd, 0), 0) as usd
    from {{ ref('fct_transactions') }}
    where revenue_stage <> 'Paid'
),

-- Days from the day of the forecast to the end of each month; -1 is the day itself.
months as (
    select
        dates.made_on,
        numbers.horizon_months,
        case when numbers.horizon_months < 0 then 0
            else {{ month_end('dates.made_in_month + numbers.horizon_months') }} - dates.made_on end as days_to_end
    from dates
    cross join generate_series(-1, 12) as numbers (horizon_months)
),

standing as (
    select
        dates.made_on,
        stays.revenue_stage,
        least(dates.made_on - stays.clock_from, {{ lookback }}) as days_on_clock,
        sum(stays.usd) as usd,
        sum(stays.usd_squared) as usd_squared
    from dates
    inner join stays
        on stays.seen_from <= dates.made_on and (stays.left_on is null or stays.left_on > dates.made_on)
    where not dates.is_now
    group by dates.made_on, stays.revenue_stage, least(dates.made_on - stays.clock_from, {{ lookback }})
    union all
    select
        dates.made_on,
        transactions.revenue_stage,
        least(dates.made_on - transactions.clock_from, {{ lookback }}),
        sum(transactions.usd),
        sum({{ squared('transactions.usd') }})
    from transactions
    cross join dates
    where dates.is_now and transactions.revenue_stage in (select awaited.revenue_stage from awaited)
    group by dates.made_on, transactions.revenue_stage, least(dates.made_on - transactions.clock_from, {{ lookback }})
),

points as (
    select
        standing.made_on,
        standing.revenue_stage,
        standing.days_on_clock,
        standing.usd,
        standing.usd_squared,
        months.horizon_months,
        {{ landmark_of('standing.days_on_clock') }} as landmark,
        least(
            greatest(standing.days_on_clock + months.days_to_end - greatest({{ landmark_of('standing.days_on_clock') }}, 0), -1),
            {{ var('forecast_curve_days') }}
        ) as days
    from standing
    inner join months on months.made_on = standing.made_on
),

read as (
    select
        points.*,
        curves.payments_seen,
        curves.unpaid_share,
        lag(curves.unpaid_share) over by_month as unpaid_share_before,
        first_value(curves.unpaid_share) over by_month as unpaid_share_now
    from points
    inner join curves
        on curves.made_on = points.made_on
        and curves.revenue_stage = points.revenue_stage
        and curves.landmark = points.landmark
        and curves.days = points.days
    window by_month as (
        partition by points.made_on, points.revenue_stage, points.days_on_clock order by points.horizon_months
    )
),

-- The chance to be paid in each month, for what has not been paid so far.
chances as (
    select
        made_on,
        revenue_stage,
        horizon_months,
        payments_seen,
        cast(usd as double precision) as usd,
        cast(usd_squared as double precision) as usd_squared,
        coalesce(
            cast(unpaid_share_before - unpaid_share as double precision) / nullif(cast(unpaid_share_now as double precision), 0), 0
        ) as chance
    from read
    where horizon_months >= 0
),

came as (
    select
        dates.made_on,
        stays.revenue_stage,
        {{ month_number('stays.paid_on') }} - dates.made_in_month as horizon_months,
        sum(stays.paid_usd) as actual_usd
    from dates
    inner join stays
        on stays.seen_from <= dates.made_on and stays.left_on > dates.made_on and stays.paid_on > dates.made_on
    where not dates.is_now
    group by dates.made_on, stays.revenue_stage, {{ month_number('stays.paid_on') }} - dates.made_in_month
)

select
    chances.made_on,
    chances.revenue_stage,
    cast(chances.horizon_months as integer) as horizon_months,
    cast(max(chances.payments_seen) as bigint) as payments_seen,
    cast(sum({{ term('chances.usd * chances.chance') }}) as decimal(28, 6)) as expected_usd,
    cast(sum({{ squared_term('chances.usd_squared * chances.chance * (1 - chances.chance)') }}) as decimal(38, 4)) as variance,
    cast(coalesce(max(came.actual_usd), 0) as decimal(28, 4)) as actual_usd
from chances
left join came
    on came.made_on = chances.made_on
    and came.revenue_stage = chances.revenue_stage
    and came.horizon_months = chances.horizon_months
group by chances.made_on, chances.revenue_stage, chances.horizon_months
