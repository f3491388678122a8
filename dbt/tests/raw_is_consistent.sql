-- Keys are unique in raw, and every live row has its open version: else any figure may be wrong.
select * from {{ ref('data_quality') }} where check_name in ('duplicate_keys', 'history_mismatch') and verdict = 'fail'
