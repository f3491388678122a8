with forecasts as (
    select * from {{ ref('int_forecasts') }} where is_now and (source <> 'pipeline' or revenue_stage <> 'Total')
),

bands as (
    select * from {{ ref('int_forecast_bands') }}
),

revenue_stages as (
    select * from {{ ref('revenue_stages') }}
),

joined as (
    select
        forecasts.*,
        revenue_stages.stage_order,
        bands.months_seen,
        bands.low_score,
        bands.median_score,
        bands.high_score,
        forecasts.expected_usd > 0 and forecasts.variance > 0 as has_band
    from forecasts
    left join bands
        on bands.made_on = forecasts.made_on
        and bands.source = forecasts.source
        and bands.horizon_months = forecasts.horizon_months
    left join revenue_stages on revenue_stages.revenue_stage = forecasts.revenue_stage
)

select
    {{ month_start('month_number') }} as month,
    cast(horizon_months as integer) as horizon_months,
    source,
    revenue_stage,
    cast(case when source = 'open_cases' then 0 when source = 'total' then 9 else stage_order end as integer) as stage_order,
    made_on as as_of_day,
    cast(round(cast(expected_usd as decimal(28, 4)), 2) as decimal(28, 4)) as expected_usd,
    {%- for name in ['median', 'low', 'high'] %}
    cast(round(cast(
        case when has_band then {{ log_quantile('expected_usd', 'variance', name ~ '_score') }} else expected_usd end
        as decimal(28, 4)
    ), 2) as decimal(28, 4)) as {{ name }}_usd,
    {%- endfor %}
    case
        when source = 'pipeline' and payments_seen >= 30 then 'Kaplan-Meier delay from stage to Paid'
        when source = 'pipeline' then 'documented terms: fewer than 30 payments seen'
        when source = 'open_cases' and payments_seen >= 30 then 'fee per open amount by phase and age, then the delay to Paid'
        when source = 'open_cases' then 'fee per open amount: fewer than 30 payments seen'
        else 'sum of pipeline and open cases'
    end
    || case when months_seen >= 6 then '; band from past errors' else '; band assumed: fewer than 6 past months' end as method,
    cast(months_seen as bigint) as months_seen,
    payments_seen >= 30 and months_seen >= 6 as is_reliable
from joined
