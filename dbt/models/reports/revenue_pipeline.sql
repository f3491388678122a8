with transactions as (
    select * from {{ ref('fct_transactions') }} where revenue_stage <> 'Paid'
),

revenue_stages as (
    select * from {{ ref('revenue_stages') }}
),

open_transactions as (
    select
        transactions.revenue_stage,
        revenue_stages.stage_order,
        case
            when transactions.age_days is null then 'unknown'
            when transactions.age_days <= 30 then '000-030'
            when transactions.age_days <= 60 then '031-060'
            when transactions.age_days <= 90 then '061-090'
            when transactions.age_days <= 180 then '091-180'
            when transactions.age_days <= 365 then '181-365'
            else '366+'
        end as age_bucket,
        coalesce(transactions.earnings_currency, 'unknown') as currency,
        transactions.referral_fee,
        transactions.referral_fee_usd,
        {{ is_moving() }} as is_estimate,
        transactions.is_clawback_risk,
        transactions.age_days,
        transactions.next_step,
        transactions.next_due_on,
        transactions.due_class,
        transactions.days_in_stage
    from transactions
    left join revenue_stages on revenue_stages.revenue_stage = transactions.revenue_stage
)

select
    revenue_stage,
    stage_order,
    age_bucket,
    currency,
    count(*) as transaction_count,
    {{ money_sum('referral_fee') }} as referral_fee,
    {{ money_sum('referral_fee_usd') }} as referral_fee_usd,
    {{ money_sum('referral_fee_usd', 'is_estimate') }} as of_which_estimate_usd,
    {{ money_sum('referral_fee_usd', 'is_clawback_risk') }} as clawback_risk_usd,
    {{ is_expected() }} as is_expected_income,
    max(age_days) as oldest_age_days,
    max(days_in_stage) as days_in_stage_max,
    max(next_step collate "C") as next_step,
    min(next_due_on) filter (where due_class in ('overdue', 'due')) as next_due_on,
    min(next_due_on) filter (where due_class = 'not_before') as not_before_on,
    {%- for due_class in ['overdue', 'due', 'not_before', 'unknown'] %}
    count(*) filter (where due_class = '{{ due_class }}') as {{ due_class }}_count,
    {{ money_sum('referral_fee_usd', "due_class = '" ~ due_class ~ "'") }} as {{ due_class }}_usd{{ ',' if not loop.last }}
    {%- endfor %}
from open_transactions
group by revenue_stage, stage_order, age_bucket, currency
