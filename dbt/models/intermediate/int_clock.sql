{{ config(materialized='table') }}

with last_sync as (
    select max(started_at) as at
    from {{ source('ops', 'syncs') }}
    where status = 'done' and coalesce(mode, '') <> 'client'  -- one client's reading says nothing of when the rest was read
),

first_load as (
    select
        (select min(valid_from) from {{ ref('stg_debitura__transactions_history') }}) as transactions_at,
        (select min(valid_from) from {{ ref('stg_debitura__cases_history') }}) as cases_at
),

as_of as (
    select
        {% if var('as_of') %} cast('{{ var("as_of") }}' as timestamptz) {% else %} last_sync.at {% endif %} as at
    from last_sync
)

select
    as_of.at as as_of,
    {{ utc_date('as_of.at') }} as as_of_day,
    first_load.transactions_at as transactions_first_load_at,
    first_load.cases_at as cases_first_load_at,
    modes.invoicing_trigger_mode
from as_of
cross join first_load
inner join {{ ref('int_invoicing_modes') }} as modes on modes.is_current
