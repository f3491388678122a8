{{ config(severity='warn') }}
-- The warehouse has the totals that the API states; a difference is named in the report.
select * from {{ ref('payout_reconciliation') }} where verdict = 'differs'
