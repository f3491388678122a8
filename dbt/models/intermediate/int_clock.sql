{{ config(materialized='table') }}

with syncs as (
    select * from {{ source('ops', 'syncs') }}
),

transactions_history as (
    select valid_from from {{ ref('stg_debitura__transactions_history') }}
),

cases_history as (
    select valid_from from {{ ref('stg_debitura__cases_history') }}
),

current_mode as (
    select invoicing_trigger_mode from {{ ref('int_invoicing_modes') }} where is_current
),

-- The reading of one client alone does not say when the rest was read.
last_sync as (
    select max(started_at) as started_at
    from syncs
    where status = 'done' and coalesce(mode, '') <> 'client'
),

first_load as (
    select
        (select min(valid_from) from transactions_history) as transactions_at,
        (select min(valid_from) from cases_history) as cases_at
),

as_of as (
    select
        {% if var('as_of') %} cast('{{ var("as_of") }}' as timestamptz) {% else %} last_sync.started_at {% endif %} as as_of
    from last_sync
)

select
    as_of.as_of,
    {{ utc_date('as_of.as_of') }} as as_of_day,
    first_load.transactions_at as transactions_first_load_at,
    first_load.cases_at as cases_first_load_at,
    current_mode.invoicing_trigger_mode
from as_of
cross join first_load
cross join current_mode
