{{ config(severity='warn') }}
-- All changes together lead back from what is there now to the first load, as history has it: rows, and amounts that were final.
with clock as (
    select transactions_first_load_at from {{ ref('int_clock') }}
),

history as (
    select * from {{ ref('stg_debitura__transactions_history') }}
),

modes as (
    select * from {{ ref('int_invoicing_modes') }}
),

stages as (
    select * from {{ ref('int_revenue_stages') }}
),

loaded as (
    select
        coalesce(stages.revenue_stage, 'Unclassified') as revenue_stage,
        count(*) as transaction_count,
        coalesce(sum(history.referral_fee_usd) filter (where not history.is_estimate), 0) as final_usd
    from history
    inner join clock
        on history.valid_from <= clock.transactions_first_load_at
        and (history.valid_to is null or history.valid_to > clock.transactions_first_load_at)
    inner join modes on modes.valid_from <= clock.transactions_first_load_at and modes.valid_to > clock.transactions_first_load_at
    left join stages
        on {{ stage_join('stages', 'history', 'modes.invoicing_trigger_mode') }}
    group by 1
),

waterfall as (
    select * from {{ ref('stage_waterfall') }}
),

opening as (
    select
        waterfall.revenue_stage,
        waterfall.opening_count,
        waterfall.opening_usd - waterfall.opening_of_which_estimate_usd as final_usd
    from waterfall
    where waterfall.month = (select min(first.month) from waterfall as first)
)

select opening.revenue_stage, opening.opening_count, loaded.transaction_count, opening.final_usd, loaded.final_usd as loaded_usd
from opening
left join loaded on loaded.revenue_stage = opening.revenue_stage
where opening.opening_count <> coalesce(loaded.transaction_count, 0) or opening.final_usd <> coalesce(loaded.final_usd, 0)
