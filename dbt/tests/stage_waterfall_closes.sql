-- A month is its parts and opens as the one before closed; what leaves a stage comes to another; the last closing is what the
-- marts say now, and without estimates no amount drifts.
with waterfall as (
    select
        stage_waterfall.*,
        lag(closing_usd) over (partition by revenue_stage order by month) as prior_closing_usd,
        lag(closing_count) over (partition by revenue_stage order by month) as prior_closing_count
    from {{ ref('stage_waterfall') }} as stage_waterfall
),

transactions as (
    select revenue_stage, count(*) as transaction_count, sum(referral_fee_usd) as usd
    from {{ ref('fct_transactions') }}
    group by revenue_stage
),

estimates as (
    select distinct revenue_stage
    from (
        select from_stage as revenue_stage from {{ ref('fct_stage_changes') }} where from_is_estimate
        union all
        select to_stage from {{ ref('fct_stage_changes') }} where to_is_estimate
    ) as legs
)

select month, revenue_stage, 'its parts' as what
from waterfall
where closing_usd <> opening_usd + appeared_usd + moved_in_usd - moved_out_usd + edited_usd + fx_usd - gone_usd
    or closing_count <> opening_count + appeared_count + moved_in_count - moved_out_count - gone_count
union all
select month, revenue_stage, 'opens as the month before closed'
from waterfall
where prior_closing_usd <> opening_usd or prior_closing_count <> opening_count
union all
select month, 'all', 'what leaves comes in'
from waterfall
group by month
having sum(moved_in_usd - moved_out_usd) <> 0 or sum(moved_in_count - moved_out_count) <> 0
union all
select waterfall.month, waterfall.revenue_stage, 'closes as it is now'
from waterfall
left join transactions on transactions.revenue_stage = waterfall.revenue_stage
where waterfall.is_current_month
    and (
        waterfall.closing_usd <> coalesce(transactions.usd, 0)
        or waterfall.closing_count <> coalesce(transactions.transaction_count, 0)
    )
union all
select month, revenue_stage, 'no drift without estimates'
from waterfall
where of_which_drift_usd <> 0
    and opening_of_which_estimate_usd = 0
    and closing_of_which_estimate_usd = 0
    and revenue_stage not in (select estimates.revenue_stage from estimates)
