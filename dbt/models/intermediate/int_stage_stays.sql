{{ config(materialized='table') }}

with clock as (
    select {{ utc_date('transactions_first_load_at') }} as first_load_on from {{ ref('int_clock') }}
),

-- Stages whose money is expected, and has not come.
awaited as (
    select revenue_stage from {{ ref('revenue_stages') }} where stage_order < 6
),

transactions as (
    select * from {{ ref('fct_transactions') }}
),

changes as (
    select
        stage_changes.transaction_id,
        stage_changes.kind,
        stage_changes.from_stage,
        stage_changes.to_stage,
        stage_changes.not_after,
        greatest(coalesce(stage_changes.from_referral_fee_usd, 0), 0) as from_usd,
        greatest(coalesce(stage_changes.to_referral_fee_usd, 0), 0) as to_usd
    from {{ ref('fct_stage_changes') }} as stage_changes
    where stage_changes.from_stage is distinct from stage_changes.to_stage
),

paid as (
    select
        transaction_id,
        {{ utc_date('paid_seen_at') }} as paid_on,
        greatest(coalesce(referral_fee_usd, 0), 0) as usd
    from transactions
    where paid_seen_at is not null
),

numbered as (
    select
        changes.*,
        {{ utc_date('not_after') }} as entered_on,
        lead({{ utc_date('not_after') }}) over by_time as next_on,
        row_number() over by_time as place
    from changes
    window by_time as (partition by transaction_id order by not_after)
),

stays as (
    select
        transaction_id,
        to_stage as revenue_stage,
        entered_on,
        entered_on as seen_from,
        next_on as left_on,
        to_usd as usd
    from numbered
    where to_stage is not null
    union all
    -- The way to Paid of what turned up after the first load, whatever stage it was in.
    select
        transaction_id,
        'NotYetCollected',
        entered_on,
        entered_on as seen_from,
        cast(null as date),
        to_usd
    from numbered
    where kind = 'appeared'
    union all
    -- What stood there on the first load: since when is not known.
    select
        numbered.transaction_id,
        numbered.from_stage,
        cast(null as date),
        clock.first_load_on,
        numbered.entered_on,
        numbered.from_usd
    from numbered
    cross join clock
    where numbered.place = 1 and numbered.from_stage is not null
),

awaited_stays as (
    select
        stays.revenue_stage,
        stays.entered_on,
        stays.seen_from,
        stays.left_on,
        paid.paid_on,
        stays.usd,
        paid.usd as paid_usd
    from stays
    left join paid on paid.transaction_id = stays.transaction_id
    where stays.revenue_stage = 'NotYetCollected' or stays.revenue_stage in (select awaited.revenue_stage from awaited)
    union all
    -- What has stood in its stage since the first load.
    select
        transactions.revenue_stage,
        cast(null as date),
        clock.first_load_on,
        cast(null as date),
        cast(null as date),
        greatest(coalesce(transactions.referral_fee_usd, 0), 0),
        cast(null as decimal(18, 4))
    from transactions
    cross join clock
    where transactions.stage_since is null and transactions.revenue_stage in (select awaited.revenue_stage from awaited)
),

dated as (
    select
        awaited_stays.*,
        case when revenue_stage in ('Pending', 'ConfirmedPendingInvoice') then {{ next_invoice_day('seen_from') }}
            else seen_from end as clock_from
    from awaited_stays
)

select
    revenue_stage,
    entered_on,
    seen_from,
    clock_from,
    left_on,
    paid_on,
    cast(count(*) as bigint) as transaction_count,
    cast(sum(usd) as decimal(28, 4)) as usd,
    cast(sum({{ squared('usd') }}) as decimal(38, 4)) as usd_squared,
    cast(coalesce(sum(paid_usd), 0) as decimal(28, 4)) as paid_usd
from dated
-- A stay after a payment that was taken back says nothing about the way there.
where paid_on is null or paid_on >= seen_from
group by revenue_stage, entered_on, seen_from, clock_from, left_on, paid_on
