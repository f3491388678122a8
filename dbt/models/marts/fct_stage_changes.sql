{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='transaction_id',
    on_schema_change='append_new_columns',
) }}

{#- A table that lacks a column added since is built anew: any of its rows may have changed in the meantime. #}
{%- set carries_on = is_incremental() and has_column(this, 'delta_referral_fee') %}

with clock as (
    select * from {{ ref('int_clock') }}
),

modes as (
    select * from {{ ref('int_invoicing_modes') }}
),

history as (
    select * from {{ ref('stg_debitura__transactions_history') }}
),

stages as (
    select * from {{ ref('int_revenue_stages') }}
),

mode_facts as (
    select
        count(distinct invoicing_trigger_mode) > 1 as has_changed,
        max(case when valid_from > cast('0001-01-02 00:00:00+00' as timestamptz) then valid_from end) as last_change_at
    from modes
),

-- Transactions that can show a change: any but those that stand as they were on the first load.
-- A second build takes only those with a version that began or ended since, and open estimates whose USD on the first reading
-- was not kept; all of their changes are then written anew.
touched as (
    select distinct history.transaction_id
    from history
    cross join clock
    cross join mode_facts
    {% if carries_on %}
    cross join (select max(not_after) as at from {{ this }}) as known
    {% endif %}
    where (
        history.valid_to is not null
        or history.valid_from > clock.transactions_first_load_at
        or mode_facts.has_changed
    )
    {% if carries_on %}
    and (
        known.at is null
        or history.valid_to >= known.at
        or (
            history.valid_to is null
            and (history.valid_from >= known.at or (history.is_estimate and history.opening_fee_usd is null))
        )
        or mode_facts.last_change_at >= known.at
    )
    {% endif %}
),

-- One row per version and invoicing mode that held during it.
states as (
    select
        history.transaction_id,
        history.case_id,
        history.creditor_id,
        history.valid_from as version_from,
        greatest(history.valid_from, modes.valid_from) as state_from,
        least(coalesce(history.valid_to, modes.valid_to), modes.valid_to) as state_to,
        history.valid_to is null and modes.is_current as is_standing,
        coalesce(history.verified_at, history.valid_from) as verified_at,
        history.referral_fee,
        history.earnings_currency,
        coalesce(history.opening_fee_usd, history.referral_fee_usd) as opening_fee_usd,
        history.referral_fee_usd as closing_fee_usd,
        coalesce(history.is_estimate, true) as is_estimate,
        coalesce(stages.revenue_stage, 'Unclassified') as revenue_stage
    from history
    inner join touched on touched.transaction_id = history.transaction_id
    inner join modes
        on modes.valid_from < coalesce(history.valid_to, modes.valid_to)
        and modes.valid_to > history.valid_from
    left join stages
        on {{ stage_join('stages', 'history', 'modes.invoicing_trigger_mode') }}
),

-- Each state beside the one before it and the beginning of the next.
neighbours as (
    select
        states.*,
        greatest(state_from, least(verified_at, state_to)) as last_read_at,
        lag(state_to) over by_time as prior_to,
        lag(version_from) over by_time as prior_version_from,
        lag(greatest(state_from, least(verified_at, state_to))) over by_time as prior_last_read_at,
        lag(revenue_stage) over by_time as prior_stage,
        lag(referral_fee) over by_time as prior_fee,
        lag(earnings_currency) over by_time as prior_currency,
        lag(closing_fee_usd) over by_time as prior_fee_usd,
        lag(is_estimate) over by_time as prior_is_estimate,
        lead(state_from) over by_time as next_from
    from states
    window by_time as (partition by transaction_id order by state_from)
),

-- Within one version, where only the mode changed, the amount is the one that the version began with.
followed as (
    select
        transaction_id,
        case_id,
        creditor_id,
        case
            when prior_stage <> revenue_stage and prior_version_from = version_from then 'restated'
            when prior_stage <> revenue_stage then 'moved'
            when (prior_fee is distinct from referral_fee) or (prior_currency is distinct from earnings_currency) then 'edited'
            when prior_is_estimate <> is_estimate and (prior_fee_usd is not distinct from opening_fee_usd) then 'flagged'
            else 'fx'
        end as kind,
        prior_stage as from_stage,
        revenue_stage as to_stage,
        case when prior_version_from = version_from then state_from else prior_last_read_at end as not_before,
        state_from as not_after,
        prior_fee as from_referral_fee,
        referral_fee as to_referral_fee,
        prior_currency as from_earnings_currency,
        earnings_currency as to_earnings_currency,
        case when prior_version_from = version_from then opening_fee_usd else prior_fee_usd end as from_referral_fee_usd,
        opening_fee_usd as to_referral_fee_usd,
        prior_is_estimate as from_is_estimate,
        is_estimate as to_is_estimate
    from neighbours
    where prior_to = state_from
        and (
            prior_stage <> revenue_stage
            or prior_fee is distinct from referral_fee
            or prior_currency is distinct from earnings_currency
            or (prior_version_from < version_from and prior_fee_usd is distinct from opening_fee_usd)
            or prior_is_estimate <> is_estimate
        )
),

came as (
    select
        neighbours.transaction_id,
        neighbours.case_id,
        neighbours.creditor_id,
        case when neighbours.prior_to is null then 'appeared' else 'returned' end as kind,
        cast(null as varchar) as from_stage,
        neighbours.revenue_stage as to_stage,
        cast(null as timestamptz) as not_before,
        neighbours.state_from as not_after,
        cast(null as decimal(18, 4)) as from_referral_fee,
        neighbours.referral_fee as to_referral_fee,
        cast(null as varchar) as from_earnings_currency,
        neighbours.earnings_currency as to_earnings_currency,
        cast(null as decimal(18, 4)) as from_referral_fee_usd,
        neighbours.opening_fee_usd as to_referral_fee_usd,
        cast(null as boolean) as from_is_estimate,
        neighbours.is_estimate as to_is_estimate
    from neighbours
    cross join clock
    where neighbours.prior_to < neighbours.state_from
        or (neighbours.prior_to is null and neighbours.state_from > clock.transactions_first_load_at)
),

went as (
    select
        transaction_id,
        case_id,
        creditor_id,
        'gone' as kind,
        revenue_stage as from_stage,
        cast(null as varchar) as to_stage,
        last_read_at as not_before,
        state_to as not_after,
        referral_fee as from_referral_fee,
        cast(null as decimal(18, 4)) as to_referral_fee,
        earnings_currency as from_earnings_currency,
        cast(null as varchar) as to_earnings_currency,
        closing_fee_usd as from_referral_fee_usd,
        cast(null as decimal(18, 4)) as to_referral_fee_usd,
        is_estimate as from_is_estimate,
        cast(null as boolean) as to_is_estimate
    from neighbours
    where not is_standing and (next_from is null or next_from > state_to)
),

changes as (
    select * from followed
    union all
    select * from came
    union all
    select * from went
),

-- An edit of the amount counts at the old exchange rate; what is left of the difference is the rate's.
split as (
    select
        changes.*,
        cast(coalesce(to_referral_fee_usd, 0) as decimal(28, 4)) - coalesce(from_referral_fee_usd, 0) as delta_usd,
        case
            when kind in ('appeared', 'returned', 'gone') then 0
            when (from_referral_fee is not distinct from to_referral_fee)
                and (from_earnings_currency is not distinct from to_earnings_currency) then 0
            when from_earnings_currency = to_earnings_currency and from_referral_fee <> 0
                and from_referral_fee_usd is not null and to_referral_fee is not null
                then {{ mul_div('to_referral_fee', 'from_referral_fee_usd', 'from_referral_fee') }} - from_referral_fee_usd
        end as edit_usd_at_old_rate
    from changes
)

select
    transaction_id || ' ' || {{ iso_text('not_after') }}
        || case when kind = 'gone' then ' gone' else '' end as change_id,
    transaction_id,
    case_id,
    coalesce(creditor_id, 'unknown') as creditor_id,
    kind,
    from_stage,
    to_stage,
    not_before,
    not_after,
    from_referral_fee,
    to_referral_fee,
    from_earnings_currency,
    to_earnings_currency,
    from_referral_fee_usd,
    to_referral_fee_usd,
    from_is_estimate,
    to_is_estimate,
    cast(
        case when from_stage is distinct from to_stage
            then coalesce(case when from_stage is null then to_referral_fee_usd else from_referral_fee_usd end, 0)
            else 0 end as decimal(28, 4)
    ) as moved_usd,
    cast(case when kind in ('appeared', 'returned', 'gone') then delta_usd else 0 end as decimal(28, 4)) as presence_usd,
    cast(
        case when kind in ('appeared', 'returned', 'gone') then 0 else coalesce(edit_usd_at_old_rate, delta_usd) end
        as decimal(28, 4)
    ) as edit_usd,
    cast(
        case when kind in ('appeared', 'returned', 'gone') then 0 else delta_usd - coalesce(edit_usd_at_old_rate, delta_usd) end
        as decimal(28, 4)
    ) as fx_usd,
    cast(delta_usd as decimal(28, 4)) as delta_usd,
    cast(
        case
            when from_stage is null or to_stage is null or from_earnings_currency = to_earnings_currency
                then coalesce(to_referral_fee, 0) - coalesce(from_referral_fee, 0)
        end as decimal(28, 4)
    ) as delta_referral_fee
from split
where not_after > (select clock.transactions_first_load_at from clock)
