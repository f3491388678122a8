-- No stage is expected to bring more than stands in it (a cent of rounding a month allowed), the stages are the total, and bands
-- hold their median.
with forecasts as (
    select * from {{ ref('revenue_forecast') }}
),

standing as (
    select revenue_stage, sum(greatest(coalesce(referral_fee_usd, 0), 0)) as usd
    from {{ ref('fct_transactions') }}
    group by revenue_stage
),

stages as (
    select revenue_stage, sum(expected_usd) as usd from forecasts where source = 'pipeline' group by revenue_stage
),

months as (
    select
        month,
        sum(case when source = 'total' then 0 else expected_usd end) as stages_usd,
        sum(case when source = 'total' then expected_usd else 0 end) as total_usd
    from forecasts
    group by month
)

select 'more than stands there: ' || stages.revenue_stage as what, stages.usd as found_usd, standing.usd as allowed_usd
from stages
left join standing on standing.revenue_stage = stages.revenue_stage
where stages.usd > coalesce(standing.usd, 0) + 0.13
union all
select 'stages and total differ: ' || cast(month as varchar), stages_usd, total_usd
from months
where abs(stages_usd - total_usd) > 0.07
union all
select 'band: ' || revenue_stage || ' ' || cast(month as varchar), low_usd, high_usd
from forecasts
where expected_usd < 0 or low_usd < 0 or median_usd < low_usd or high_usd < median_usd
