{{ config(materialized='table') }}

{%- set weight = var('forecast_score_weight') | int %}

with dates as (
    select * from {{ ref('int_forecast_dates') }}
),

forecasts as (
    select * from {{ ref('int_forecasts') }}
),

-- How far off a forecast was, in units of its own scale; a month without a payment counts as four below.
errors as (
    select
        source,
        made_on,
        month_number,
        {{ horizon_class('horizon_months') }} as horizon_class,
        case when actual_usd > 0 then
            greatest(least(
                (
                    ln(cast(actual_usd as double precision) / cast(expected_usd as double precision))
                    + {{ log_scale('expected_usd', 'variance') }} * {{ log_scale('expected_usd', 'variance') }} / 2
                ) / {{ log_scale('expected_usd', 'variance') }}, 4
            ), -4)
            else -4 end as score
    from forecasts
    where actual_usd is not null and horizon_months > 0 and expected_usd > 0 and variance > 0
        and (source <> 'pipeline' or revenue_stage = 'Total')
),

classes as (
    select distinct {{ horizon_class('numbers.months') }} as horizon_class
    from generate_series(1, 12) as numbers (months)
),

sources as (
    select 'pipeline' as source
    union all
    select 'open_cases'
    union all
    select 'total'
),

-- Only errors that were known on the day. Errors of one month are one kind of luck, so months are counted.
seen as (
    select
        dates.made_on,
        sources.source,
        classes.horizon_class,
        count(distinct errors.month_number) as months_seen,
        percentile_cont(0.1) within group (order by errors.score) as low_score,
        percentile_cont(0.5) within group (order by errors.score) as median_score,
        percentile_cont(0.9) within group (order by errors.score) as high_score
    from dates
    cross join sources
    cross join classes
    left join errors
        on errors.source = sources.source
        and errors.horizon_class = classes.horizon_class
        and errors.month_number <= dates.last_whole_month
    group by dates.made_on, sources.source, classes.horizon_class
),

-- The assumed band, that of a normal distribution of scores, is a tenth wider for each further month.
assumed as (
    select
        numbers.horizon_months,
        {{ horizon_class('greatest(numbers.horizon_months, 1)') }} as horizon_class,
        cast(1.2816 * (1 + 0.1 * (greatest(numbers.horizon_months, 1) - 1)) as double precision) as score
    from generate_series(0, 12) as numbers (horizon_months)
)

-- It counts as {{ weight }} months. This month's rest has the errors of the next.
select
    seen.made_on,
    seen.source,
    cast(assumed.horizon_months as integer) as horizon_months,
    cast(seen.months_seen as bigint) as months_seen,
    cast(
        (seen.months_seen * coalesce(seen.low_score, 0) - {{ weight }} * assumed.score)
        / cast(seen.months_seen + {{ weight }} as double precision) as decimal(8, 4)
    ) as low_score,
    cast(
        seen.months_seen * coalesce(seen.median_score, 0)
        / cast(seen.months_seen + {{ weight }} as double precision) as decimal(8, 4)
    ) as median_score,
    cast(
        (seen.months_seen * coalesce(seen.high_score, 0) + {{ weight }} * assumed.score)
        / cast(seen.months_seen + {{ weight }} as double precision) as decimal(8, 4)
    ) as high_score
from seen
inner join assumed on assumed.horizon_class = seen.horizon_class
