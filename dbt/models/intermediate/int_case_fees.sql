{{ config(materialized='table') }}

with dates as (
    select min(last_whole_month) - {{ var('forecast_rate_months') }} as first_month from {{ ref('int_forecast_dates') }}
),

clock as (
    select transactions_first_load_at from {{ ref('int_clock') }}
),

stays as (
    select * from {{ ref('int_case_stays') }}
),

transactions as (
    select
        case_id,
        occurred_at,
        first_seen_at,
        greatest(coalesce(referral_fee_usd, 0), 0) as fee_usd,
        {{ month_number(utc_date('paid_seen_at')) }} as paid_month
    from {{ ref('fct_transactions') }}
    where {{ is_expected() }}
),

-- A payment counts from the month in which it turned up; what was there on the first load, from its own.
booked as (
    select
        transactions.case_id,
        {{ month_number(utc_date('case when transactions.first_seen_at > clock.transactions_first_load_at
            then transactions.first_seen_at else least(transactions.occurred_at, transactions.first_seen_at) end')) }} as booked_month,
        transactions.paid_month,
        transactions.fee_usd
    from transactions
    cross join clock
    where transactions.fee_usd > 0
)

-- By the stays of its case that began before the payment.
select
    stays.attribution,
    stays.engagement_phase,
    stays.created_month,
    stays.from_month,
    stays.to_month,
    booked.booked_month,
    booked.paid_month,
    cast(count(*) as bigint) as payments,
    cast(sum(booked.fee_usd) as decimal(28, 4)) as fee_usd,
    cast(sum({{ squared('booked.fee_usd') }}) as decimal(38, 4)) as fee_usd_squared
from booked
cross join dates
inner join stays on stays.case_id = booked.case_id and stays.from_month < booked.booked_month
where booked.booked_month > dates.first_month
    and booked.booked_month - least(stays.to_month - 1, booked.booked_month - 1) <= 12
group by
    stays.attribution, stays.engagement_phase, stays.created_month, stays.from_month, stays.to_month,
    booked.booked_month, booked.paid_month
