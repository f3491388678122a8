-- Final amounts and counts follow from fct_stage_changes alone, back from what they are now. What estimates came to at the end of
-- a month is recorded; what the changes do not explain of it is the drift with exchange rates.
with clock as (
    select * from {{ ref('int_clock') }} where transactions_first_load_at is not null
),

modes as (
    select * from {{ ref('int_invoicing_modes') }}
),

stages as (
    select revenue_stage, stage_order from {{ ref('revenue_stages') }}
),

stage_of as (
    select * from {{ ref('int_revenue_stages') }}
),

transactions as (
    select revenue_stage, coalesce(is_estimate, true) as is_estimate, referral_fee_usd
    from {{ ref('fct_transactions') }}
),

stage_changes as (
    select
        *,
        {{ utc_month('not_after') }} as month,
        from_stage is not null and to_stage is not null and from_stage <> to_stage as is_move
    from {{ ref('fct_stage_changes') }}
    where not_after > (select clock.transactions_first_load_at from clock)
),

estimate_totals as (
    select * from {{ source('ops', 'estimate_totals') }}
),

transactions_history as (
    select commission_status, platform_invoicing_status, referral_invoicing_status, referral_fee_usd, valid_from, valid_to
    from {{ ref('stg_debitura__transactions_history') }}
    where coalesce(is_estimate, true)
),

bounds as (
    select
        {{ utc_month('transactions_first_load_at') }} as first_month,
        greatest(
            {{ utc_month('as_of') }},
            {{ utc_month('transactions_first_load_at') }},
            (select max(stage_changes.month) from stage_changes)
        ) as last_month
    from clock
),

months as (
    select {{ month_series('first_month', 'last_month') }} as month, last_month from bounds
),

-- What balances are of: the first load, which opens the first month, and the end of each month.
points as (
    select
        cast(null as date) as month,
        transactions_first_load_at + interval '1 microsecond' as ends_before,
        false as is_last
    from clock
    union all
    select month, {{ utc_midnight("cast(month + interval '1 month' as date)") }}, month = last_month
    from months
),

first_record as (
    select min(valid_from) as first_at from estimate_totals
),

-- Both ways in which the estimates of a time are known: recorded then, or from the last readings of their versions.
all_estimate_periods as (
    select
        true as is_recorded,
        commission_status,
        platform_invoicing_status,
        referral_invoicing_status,
        referral_fee_usd,
        valid_from,
        valid_to
    from estimate_totals
    union all
    select
        false,
        {{ status_key('commission_status') }},
        {{ status_key('platform_invoicing_status') }},
        {{ status_key('referral_invoicing_status') }},
        coalesce(referral_fee_usd, 0),
        valid_from,
        valid_to
    from transactions_history
    where valid_from < coalesce((select first_record.first_at from first_record), valid_from + interval '1 day')
),

estimate_periods as (
    select * from all_estimate_periods
    where valid_to is null or valid_to > (select clock.transactions_first_load_at from clock)
),

-- Each period comes in once and goes out once, so that its sums are running totals, whatever the number of months.
estimate_steps as (
    select
        is_recorded,
        commission_status,
        platform_invoicing_status,
        referral_invoicing_status,
        {{ utc_month('valid_from') }} as month,
        sum(referral_fee_usd) as usd
    from estimate_periods
    where valid_from > (select clock.transactions_first_load_at from clock)
    group by 1, 2, 3, 4, 5
    union all
    select
        is_recorded,
        commission_status,
        platform_invoicing_status,
        referral_invoicing_status,
        cast(null as date),
        sum(referral_fee_usd)
    from estimate_periods
    where valid_from <= (select clock.transactions_first_load_at from clock)
    group by 1, 2, 3, 4
    union all
    select
        is_recorded,
        commission_status,
        platform_invoicing_status,
        referral_invoicing_status,
        {{ utc_month('valid_to') }},
        sum(referral_fee_usd) * -1
    from estimate_periods
    where valid_to is not null
    group by 1, 2, 3, 4, 5
),

estimates as (
    select
        points.ends_before,
        coalesce(stage_of.revenue_stage, 'Unclassified') as revenue_stage,
        sum(steps.usd) as usd
    from points
    cross join first_record
    inner join modes on modes.valid_from < points.ends_before and modes.valid_to >= points.ends_before
    inner join estimate_steps as steps
        on steps.is_recorded = coalesce(first_record.first_at < points.ends_before, false)
        and (steps.month is null or steps.month <= points.month)
    left join stage_of
        on {{ stage_join('stage_of', 'steps', 'modes.invoicing_trigger_mode') }}
    where not points.is_last
    group by 1, 2
),

-- What each change does to the stage that it leads to, and to the one that it comes from.
effects as (
    select
        month,
        to_stage as revenue_stage,
        case when from_stage is null then coalesce(to_referral_fee_usd, 0) else 0 end as appeared_usd,
        case when is_move then moved_usd else 0 end as moved_in_usd,
        0 as moved_out_usd,
        edit_usd as edited_usd,
        fx_usd,
        0 as gone_usd,
        case when to_is_estimate then 0 else coalesce(to_referral_fee_usd, 0) end as final_usd,
        case when from_stage is null then 1 else 0 end as appeared_count,
        case when is_move then 1 else 0 end as moved_in_count,
        0 as moved_out_count,
        0 as gone_count
    from stage_changes
    where to_stage is not null
    union all
    select
        month,
        from_stage,
        0,
        0,
        case when is_move then moved_usd else 0 end,
        0,
        0,
        case when to_stage is null then coalesce(from_referral_fee_usd, 0) else 0 end,
        case when from_is_estimate then 0 else coalesce(from_referral_fee_usd, 0) * -1 end,
        0,
        0,
        case when is_move then 1 else 0 end,
        case when to_stage is null then 1 else 0 end
    from stage_changes
    where from_stage is not null
),

by_month as (
    select
        month,
        revenue_stage,
        {%- for name in ['appeared', 'moved_in', 'moved_out', 'gone'] %}
        sum({{ name }}_usd) as {{ name }}_usd,
        sum({{ name }}_count) as {{ name }}_count,
        {%- endfor %}
        sum(edited_usd) as edited_usd,
        sum(fx_usd) as fx_usd,
        sum(final_usd) as final_usd
    from effects
    group by 1, 2
),

as_they_are as (
    select
        revenue_stage,
        count(*) as transaction_count,
        {{ money_sum('referral_fee_usd', 'not is_estimate') }} as final_usd,
        {{ money_sum('referral_fee_usd', 'is_estimate') }} as estimate_usd
    from transactions
    group by 1
),

flows as (
    select
        points.month,
        points.ends_before,
        points.is_last,
        stages.revenue_stage,
        stages.stage_order,
        {%- for name in ['appeared', 'moved_in', 'moved_out', 'gone'] %}
        coalesce(by_month.{{ name }}_usd, 0) as {{ name }}_usd,
        coalesce(by_month.{{ name }}_count, 0) as {{ name }}_count,
        {%- endfor %}
        coalesce(by_month.edited_usd, 0) as edited_usd,
        coalesce(by_month.fx_usd, 0) as fx_of_changes_usd,
        coalesce(by_month.final_usd, 0) as final_usd,
        coalesce(as_they_are.final_usd, 0) as final_usd_now,
        coalesce(as_they_are.transaction_count, 0) as count_now,
        case when points.is_last then coalesce(as_they_are.estimate_usd, 0) else coalesce(estimates.usd, 0) end
            as closing_of_which_estimate_usd
    from points
    cross join stages
    left join by_month on by_month.month = points.month and by_month.revenue_stage = stages.revenue_stage
    left join as_they_are on as_they_are.revenue_stage = stages.revenue_stage
    left join estimates
        on estimates.ends_before = points.ends_before and estimates.revenue_stage = stages.revenue_stage
),

closed as (
    select
        flows.*,
        final_usd_now - sum(final_usd) over (partition by revenue_stage)
        + sum(final_usd) over (partition by revenue_stage order by ends_before)
        + closing_of_which_estimate_usd as closing_usd,
        count_now
        - sum(appeared_count + moved_in_count - moved_out_count - gone_count) over (partition by revenue_stage)
        + sum(appeared_count + moved_in_count - moved_out_count - gone_count)
            over (partition by revenue_stage order by ends_before) as closing_count
    from flows
),

opened as (
    select
        closed.*,
        lag(closing_usd) over (partition by revenue_stage order by ends_before) as opening_usd,
        lag(closing_of_which_estimate_usd) over (partition by revenue_stage order by ends_before)
            as opening_of_which_estimate_usd,
        lag(closing_count) over (partition by revenue_stage order by ends_before) as opening_count
    from closed
),

drifted as (
    select
        opened.*,
        closing_usd - opening_usd - appeared_usd - moved_in_usd + moved_out_usd - edited_usd - fx_of_changes_usd + gone_usd
            as drift_usd
    from opened
    where month is not null
)

select
    month,
    {{ month_text('month') }} as month_label,
    revenue_stage,
    stage_order,
    {{ is_expected() }} as is_expected_income,
    is_last as is_current_month,
    cast(opening_usd as decimal(28, 4)) as opening_usd,
    cast(appeared_usd as decimal(28, 4)) as appeared_usd,
    cast(moved_in_usd as decimal(28, 4)) as moved_in_usd,
    cast(moved_out_usd as decimal(28, 4)) as moved_out_usd,
    cast(edited_usd as decimal(28, 4)) as edited_usd,
    cast(fx_of_changes_usd + drift_usd as decimal(28, 4)) as fx_usd,
    cast(drift_usd as decimal(28, 4)) as of_which_drift_usd,
    cast(gone_usd as decimal(28, 4)) as gone_usd,
    cast(closing_usd as decimal(28, 4)) as closing_usd,
    cast(opening_of_which_estimate_usd as decimal(28, 4)) as opening_of_which_estimate_usd,
    cast(closing_of_which_estimate_usd as decimal(28, 4)) as closing_of_which_estimate_usd,
    cast(opening_count as bigint) as opening_count,
    cast(appeared_count as bigint) as appeared_count,
    cast(moved_in_count as bigint) as moved_in_count,
    cast(moved_out_count as bigint) as moved_out_count,
    cast(gone_count as bigint) as gone_count,
    cast(closing_count as bigint) as closing_count
from drifted
