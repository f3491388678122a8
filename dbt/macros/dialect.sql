{# What DuckDB and Postgres say differently: one macro, two bodies. And small arithmetic that both share. #}

{# Exact quotient of two amounts, rounded half away from zero to `scale` places. Null where `b` is null or 0, and where the
   quotient has more than 12 digits before the point: it then says nothing, and would fit no column. DuckDB divides
   decimals as doubles, hence whole numbers of 0.0001 there. #}
{% macro div(a, b, scale) -%}
    {{ return(adapter.dispatch('div', 'debitura')(a, b, scale)) }}
{%- endmacro %}

{# The double decides all but the quotients that lie within a thousandth of a tie, or are too long for it: it errs by less
   than 0.00005 units of the last place there. Whole numbers decide the rest; they take ten times as long. #}
{% macro duckdb__div(a, b, scale) -%}
    {%- set shifted -%} (cast({{ a }} as double) / cast({{ b }} as double) * 1e{{ scale }}) {%- endset -%}
    case
        when {{ b }} = 0 then null
        when abs({{ shifted }}) < 1e11 and abs(abs({{ shifted }}) % 1 - 0.5) > 0.001
            then {{ shift_right('cast(round(' ~ shifted ~ ') as bigint)', scale) }}
        else {{ rounded_quotient(units(a) ~ ' * ' ~ 10 ** scale, units(b), scale) }}
    end
{%- endmacro %}

{% macro postgres__div(a, b, scale) -%}
    case when abs({{ a }}) / 1000000000000 < abs({{ b }})
        then round(cast({{ a }} as numeric) / nullif({{ b }}, 0), {{ scale }}) end
{%- endmacro %}

{# Exact `a * b / c` of three amounts, to four places; null as in `div`. #}
{% macro mul_div(a, b, c) -%}
    {{ return(adapter.dispatch('mul_div', 'debitura')(a, b, c)) }}
{%- endmacro %}

{% macro duckdb__mul_div(a, b, c) -%}
    {{ rounded_quotient(units(a) ~ ' * ' ~ units(b), units(c), 4) }}
{%- endmacro %}

{% macro postgres__mul_div(a, b, c) -%}
    case when abs(cast({{ a }} as numeric) * {{ b }}) / 1000000000000 < abs({{ c }})
        then round(cast({{ a }} as numeric) * {{ b }} / nullif({{ c }}, 0), 4) end
{%- endmacro %}

{# DuckDB only: an amount as a whole number of 0.0001. #}
{% macro units(amount) -%}
    cast(cast({{ amount }} as decimal(38, 4)) * 10000 as hugeint)
{%- endmacro %}

{# DuckDB only: `num / den` of whole numbers, the result read as so many units of 10^-scale. #}
{% macro rounded_quotient(num, den, scale) -%}
    {%- set quotient -%}
    (2 * abs({{ num }}) + abs({{ den }})) // nullif(2 * abs({{ den }}), 0)
    * case when ({{ num }} < 0) <> ({{ den }} < 0) then -1 else 1 end
    {%- endset -%}
    {{ shift_right(quotient, scale) }}
{%- endmacro %}

{# DuckDB only: a whole number as so many units of 10^-scale; null where it has more than 12 digits before the point. #}
{% macro shift_right(whole, scale) -%}
    cast(
        try_cast({{ whole }} as decimal({{ 12 + scale }}, 0))
        * cast('0.{{ '0' * (scale - 1) }}1' as decimal({{ scale }}, {{ scale }}))
        as decimal({{ 12 + scale }}, {{ scale }})
    )
{%- endmacro %}

{# UTC instant as ISO text to the microsecond. #}
{% macro iso_text(instant) -%}
    {{ return(adapter.dispatch('iso_text', 'debitura')(instant)) }}
{%- endmacro %}

{% macro duckdb__iso_text(instant) -%}
    strftime({{ utc_clock(instant) }}, '%Y-%m-%dT%H:%M:%S.%fZ')
{%- endmacro %}

{% macro postgres__iso_text(instant) -%}
    to_char({{ utc_clock(instant) }}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
{%- endmacro %}

{# A day as in a sentence, `8 Jan 2026`. #}
{% macro day_text(day) -%}
    {{ return(adapter.dispatch('day_text', 'debitura')(day)) }}
{%- endmacro %}

{% macro duckdb__day_text(day) -%}
    strftime({{ day }}, '%-d %b %Y')
{%- endmacro %}

{% macro postgres__day_text(day) -%}
    to_char({{ day }}, 'FMDD Mon YYYY')
{%- endmacro %}

{# An amount or a percentage as in a sentence, with two decimals. #}
{% macro two_decimals(amount) -%}
    cast(cast(round({{ amount }}, 2) as decimal(38, 2)) as varchar)
{%- endmacro %}

{# Text of a date's month, `2026-03`. #}
{% macro month_text(day) -%}
    substr(cast({{ day }} as varchar), 1, 7)
{%- endmacro %}

{# The UTC clock's reading at an instant, without a zone. DuckDB's own `at time zone` costs ten times as much. #}
{% macro utc_clock(instant) -%}
    {{ return(adapter.dispatch('utc_clock', 'debitura')(instant)) }}
{%- endmacro %}

{% macro duckdb__utc_clock(instant) -%}
    make_timestamp(epoch_us({{ instant }}))
{%- endmacro %}

{% macro postgres__utc_clock(instant) -%}
    ({{ instant }} at time zone 'UTC')
{%- endmacro %}

{% macro utc_date(instant) -%}
    cast({{ utc_clock(instant) }} as date)
{%- endmacro %}

{% macro utc_month(instant) -%}
    cast(date_trunc('month', {{ utc_clock(instant) }}) as date)
{%- endmacro %}

{# Beginning of a UTC day. #}
{% macro utc_midnight(day) -%}
    cast(cast({{ day }} as varchar) || ' 00:00:00+00' as timestamptz)
{%- endmacro %}

{# The first days of the months from one to another, one row each. #}
{% macro month_series(first, last) -%}
    {{ return(adapter.dispatch('month_series', 'debitura')(first, last)) }}
{%- endmacro %}

{% macro duckdb__month_series(first, last) -%}
    cast(unnest(generate_series(cast({{ first }} as timestamp), cast({{ last }} as timestamp), interval '1 month')) as date)
{%- endmacro %}

{% macro postgres__month_series(first, last) -%}
    cast(generate_series(cast({{ first }} as timestamp), cast({{ last }} as timestamp), interval '1 month') as date)
{%- endmacro %}

{# Whole UTC days from one instant to another. #}
{% macro days_between(earlier, later) -%}
    cast({{ utc_date(later) }} - {{ utc_date(earlier) }} as integer)
{%- endmacro %}

{# One row per day from one date to another, both included, as a column of its own; no row where either is null. #}
{% macro days_from(first, last) -%}
    {{ return(adapter.dispatch('days_from', 'debitura')(first, last)) }}
{%- endmacro %}

{% macro duckdb__days_from(first, last) -%}
    cast(unnest(generate_series({{ first }}, {{ last }}, interval 1 day)) as date)
{%- endmacro %}

{% macro postgres__days_from(first, last) -%}
    cast(generate_series({{ first }}, {{ last }}, interval '1 day') as date)
{%- endmacro %}

{# Letters and digits of a label in lower case, so that `Pending Verification` and `PendingVerification` are one. #}
{% macro label_key(label) -%}
    regexp_replace(lower({{ label }}), '[^a-z0-9]', '', 'g')
{%- endmacro %}

{# Exact sum of amounts where a condition holds; 0 where there is none. #}
{% macro money_sum(amount, where=none) -%}
    cast(coalesce(sum({{ amount }}){% if where %} filter (where {{ where }}){% endif %}, 0) as decimal(28, 4))
{%- endmacro %}
