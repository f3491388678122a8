-- A table, though it is small: from a view the planner expects millions of rows, and builds its hash tables on the cases.
{{ config(materialized='table') }}

select seen.lifecycle, documented.lifecycle_group
from (select distinct lifecycle from {{ ref('stg_debitura__cases_history') }}) as seen
inner join {{ ref('int_lifecycles') }} as documented
    on documented.lifecycle_key = {{ label_key('seen.lifecycle') }}
