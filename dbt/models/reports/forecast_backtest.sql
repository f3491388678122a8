with forecasts as (
    select * from {{ ref('int_forecasts') }}
    where source = 'total' and actual_usd is not null and horizon_months > 0
),

bands as (
    select * from {{ ref('int_forecast_bands') }} where source = 'total'
),

transactions as (
    select
        {{ month_number(utc_date('paid_seen_at')) }} as paid_month,
        sum(greatest(coalesce(referral_fee_usd, 0), 0)) as usd
    from {{ ref('fct_transactions') }}
    where paid_seen_at is not null
    group by {{ month_number(utc_date('paid_seen_at')) }}
),

joined as (
    select
        forecasts.*,
        bands.months_seen,
        bands.low_score,
        bands.median_score,
        bands.high_score,
        coalesce(transactions.usd, 0) as paid_usd,
        forecasts.expected_usd > 0 and forecasts.variance > 0 as has_band
    from forecasts
    left join bands
        on bands.made_on = forecasts.made_on
        and bands.horizon_months = forecasts.horizon_months
    left join transactions on transactions.paid_month = forecasts.month_number
),

rounded as (
    select
        made_on,
        {{ month_start('month_number') }} as month,
        cast(horizon_months as integer) as horizon_months,
        cast(round(cast(expected_usd as decimal(28, 4)), 2) as decimal(28, 4)) as expected_usd,
        {%- for name in ['median', 'low', 'high'] %}
        cast(round(cast(
            case when has_band then {{ log_quantile('expected_usd', 'variance', name ~ '_score') }} else expected_usd end
            as decimal(28, 4)
        ), 2) as decimal(28, 4)) as {{ name }}_usd,
        {%- endfor %}
        cast(actual_usd as decimal(28, 4)) as actual_usd,
        cast(paid_usd - actual_usd as decimal(28, 4)) as outside_usd,
        payments_seen >= 30 and months_seen >= 6 as is_reliable
    from joined
)

select
    made_on,
    month,
    horizon_months,
    expected_usd,
    median_usd,
    low_usd,
    high_usd,
    actual_usd,
    cast(actual_usd - median_usd as decimal(28, 4)) as error_usd,
    actual_usd >= low_usd and actual_usd <= high_usd as is_in_band,
    outside_usd,
    is_reliable
from rounded
