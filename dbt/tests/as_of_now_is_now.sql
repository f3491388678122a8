-- What was known at the end of time is what is known now: the function and the mart agree stage by stage, row for row.
with then_known as (
    select revenue_stage, count(*) as rows_found, sum(referral_fee_usd) as usd
    from {{ ref('fct_transactions').schema }}.transactions_as_of('9999-01-01 00:00:00+00')
    group by revenue_stage
),

now_known as (
    select revenue_stage, count(*) as rows_found, sum(referral_fee_usd) as usd
    from {{ ref('fct_transactions') }}
    group by revenue_stage
),

cases as (
    select
        (select count(*) from {{ ref('fct_cases').schema }}.cases_as_of('9999-01-01 00:00:00+00')) as then_rows,
        (select count(*) from {{ ref('fct_cases') }}) as now_rows
)

select
    coalesce(then_known.revenue_stage, now_known.revenue_stage) as what,
    then_known.rows_found as then_rows,
    now_known.rows_found as now_rows
from then_known
full outer join now_known on now_known.revenue_stage = then_known.revenue_stage
where then_known.rows_found is distinct from now_known.rows_found or then_known.usd is distinct from now_known.usd
union all
select 'cases', then_rows, now_rows from cases where then_rows <> now_rows
