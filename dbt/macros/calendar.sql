{# Due dates as the documents give them. All take and give UTC dates; Monday to Friday are business days, holidays are not known. #}

{# The next `platform_invoice_day` of a month, that day itself included. #}
{% macro next_invoice_day(day) -%}
    {%- set offset = var('platform_invoice_day') - 1 -%}
    case
        when extract(day from {{ day }}) <= {{ offset + 1 }}
            then cast(date_trunc('month', {{ day }}) as date) + {{ offset }}
        else cast(date_trunc('month', {{ day }}) + interval '1 month' as date) + {{ offset }}
    end
{%- endmacro %}

{# `count` business days after `day`; a weekend counts as the Friday before it. #}
{% macro add_business_days(day, count) -%}
    {%- set rest = count % 5 -%}
    {%- set weekday -%} cast(extract(isodow from {{ day }}) as integer) {%- endset -%}
    {{ day }} - greatest({{ weekday }} - 5, 0) + {{ (count // 5) * 7 + rest }}
    + case when least({{ weekday }}, 5) + {{ rest }} > 5 then 2 else 0 end
{%- endmacro %}

{# Whether a date is later than a day after the last sync, or a placeholder for a missing one. Needs a CTE `clock`. #}
{% macro is_implausible(instant) -%}
    coalesce(
        {{ instant }} > (select clock.as_of + interval '1 day' from clock) or {{ instant }} < cast('2000-01-01 00:00:00+00' as timestamptz),
        false
    )
{%- endmacro %}

{# Whether a case had ended when its client was archived: the link must exist when a debtor pays. Needs a CTE `clock`. #}
{% macro ended_while_linked(finished_at, archived_at) -%}
    (coalesce({{ finished_at }} < {{ archived_at }}, false) and not {{ is_implausible(finished_at) }})
{%- endmacro %}
