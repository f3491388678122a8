-- A table for the same reason as int_case_lifecycles.
{{ config(materialized='table') }}

select seen.close_code, documented.outcome
from (select distinct close_code from {{ ref('stg_debitura__cases_history') }}) as seen
inner join {{ ref('int_close_codes') }} as documented
    on documented.code_key = {{ label_key('seen.close_code') }}
