{# Months as whole numbers (year * 12 + month - 1), so that they can be counted, and back. Dates are UTC. #}

{% macro month_number(day) -%}
    cast(extract(year from {{ day }}) * 12 + extract(month from {{ day }}) - 1 as integer)
{%- endmacro %}

{# First day of the month. 24000 is January 2000. #}
{% macro month_start(number) -%}
    cast(cast('2000-01-01' as timestamp) + ({{ number }} - 24000) * interval '1 month' as date)
{%- endmacro %}

{# Last day of the month. #}
{% macro month_end(number) -%}
    cast(cast('2000-01-01' as timestamp) + ({{ number }} - 23999) * interval '1 month' as date) - 1
{%- endmacro %}
