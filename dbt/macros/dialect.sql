{# What DuckDB and Postgres say differently: one macro, two bodies. And small arithmetic that both share. #}

{# Exact quotient rounded half away from zero to `scale` places; null where `b` is null or 0. DuckDB divides decimals as
   doubles, hence whole numbers there. `a` and `b` are decimals of the scales given. #}
{% macro div(a, b, scale, a_scale=4, b_scale=4) -%}
    {{ return(adapter.dispatch('div', 'debitura')(a, b, scale, a_scale, b_scale)) }}
{%- endmacro %}

{% macro duckdb__div(a, b, scale, a_scale, b_scale) -%}
    {%- set factor = 10 ** (scale + b_scale - a_scale) -%}
    {%- set num -%} abs(cast(cast({{ a }} as decimal(38, {{ a_scale }})) * {{ 10 ** a_scale }} as hugeint)) * {{ factor }} {%- endset -%}
    {%- set den -%} abs(cast(cast({{ b }} as decimal(38, {{ b_scale }})) * {{ 10 ** b_scale }} as hugeint)) {%- endset -%}
    case when {{ b }} <> 0 then
        cast(
            cast((2 * {{ num }} + {{ den }}) // (2 * {{ den }}) as decimal(28, 0))
            * cast({{ '%.*f' | format(scale, 10 ** -scale) }} as decimal({{ scale + 1 }}, {{ scale }}))
            as decimal(38, {{ scale }})
        ) * (case when ({{ a }} < 0) <> ({{ b }} < 0) then -1 else 1 end)
    end
{%- endmacro %}

{% macro postgres__div(a, b, scale, a_scale, b_scale) -%}
    round(cast({{ a }} as numeric) / nullif(cast({{ b }} as numeric), 0), {{ scale }})
{%- endmacro %}

{# UTC instant as ISO text to the microsecond. #}
{% macro iso_text(instant) -%}
    {{ return(adapter.dispatch('iso_text', 'debitura')(instant)) }}
{%- endmacro %}

{% macro duckdb__iso_text(instant) -%}
    strftime({{ instant }} at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')
{%- endmacro %}

{% macro postgres__iso_text(instant) -%}
    to_char({{ instant }} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
{%- endmacro %}

{# Text of a date's month, `2026-03`. #}
{% macro month_text(day) -%}
    substr(cast({{ day }} as varchar), 1, 7)
{%- endmacro %}

{% macro utc_date(instant) -%}
    cast({{ instant }} at time zone 'UTC' as date)
{%- endmacro %}

{% macro utc_month(instant) -%}
    cast(date_trunc('month', {{ instant }} at time zone 'UTC') as date)
{%- endmacro %}

{# Whole UTC days from one instant to another. #}
{% macro days_between(earlier, later) -%}
    cast({{ utc_date(later) }} - {{ utc_date(earlier) }} as integer)
{%- endmacro %}

{# Letters and digits of a label in lower case, so that `Pending Verification` and `PendingVerification` are one. #}
{% macro label_key(label) -%}
    regexp_replace(lower({{ label }}), '[^a-z0-9]', '', 'g')
{%- endmacro %}

{# Exact sum of amounts where a condition holds; 0 where there is none. #}
{% macro money_sum(amount, where=none) -%}
    cast(coalesce(sum({{ amount }}){% if where %} filter (where {{ where }}){% endif %}, 0) as decimal(38, 4))
{%- endmacro %}
