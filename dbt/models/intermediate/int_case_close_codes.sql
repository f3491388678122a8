-- A table for the same reason as int_case_lifecycles.
{{ config(materialized='table') }}

with cases_history as (
    select close_code from {{ ref('stg_debitura__cases_history') }}
),

close_codes as (
    select * from {{ ref('close_codes') }}
),

spelled as (
    select distinct close_code from cases_history
)

select
    spelled.close_code,
    close_codes.outcome
from spelled
inner join close_codes on close_codes.code_key = {{ label_key('spelled.close_code') }}
