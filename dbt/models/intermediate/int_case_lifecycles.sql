-- A table, though it is small: from a view the planner expects millions of rows, and builds its hash tables on the cases.
{{ config(materialized='table') }}

with cases_history as (
    select lifecycle from {{ ref('stg_debitura__cases_history') }}
),

lifecycles as (
    select * from {{ ref('lifecycles') }}
),

spelled as (
    select distinct lifecycle from cases_history
)

select
    spelled.lifecycle,
    lifecycles.lifecycle_group
from spelled
inner join lifecycles on lifecycles.lifecycle_key = {{ label_key('spelled.lifecycle') }}
