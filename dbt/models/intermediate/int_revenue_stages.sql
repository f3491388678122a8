-- A table, though it is small: the planner then knows that it is, and does not build its hash table on the transactions.
{{ config(materialized='table') }}

with transactions as (
    select commission_status, platform_invoicing_status, referral_invoicing_status
    from {{ ref('stg_debitura__transactions') }}
),

transactions_history as (
    select commission_status, platform_invoicing_status, referral_invoicing_status
    from {{ ref('stg_debitura__transactions_history') }}
),

invoicing_modes as (
    select * from {{ ref('int_invoicing_modes') }}
),

revenue_stages as (
    select * from {{ ref('revenue_stages') }}
),

combinations as (
    select * from transactions
    union
    select * from transactions_history
),

modes as (
    select distinct invoicing_trigger_mode from invoicing_modes
),

staged as (
    select
        {{ status_key('commission_status') }} as commission_key,
        {{ status_key('platform_invoicing_status') }} as platform_key,
        {{ status_key('referral_invoicing_status') }} as referral_key,
        modes.invoicing_trigger_mode,
        {{ revenue_stage(
            'commission_status', 'platform_invoicing_status', 'referral_invoicing_status', 'modes.invoicing_trigger_mode'
        ) }} as revenue_stage
    from combinations
    cross join modes
)

select
    staged.*,
    revenue_stages.stage_order,
    revenue_stages.revenue_stage_six,
    revenue_stages.revenue_stage_four,
    revenue_stages.next_step
from staged
left join revenue_stages on revenue_stages.revenue_stage = staged.revenue_stage
