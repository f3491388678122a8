{{ config(severity='warn') }}
-- Statuses that fit no documented stage: their money is in no total until someone has looked.
select * from {{ ref('data_quality') }} where check_name = 'unclassified_stages' and verdict <> 'ok'
