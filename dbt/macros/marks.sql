{# The mark by which the pipeline knows what it has built in a Postgres database that others use too: every seed, model and
   as-of function has a comment that ends with it. `warehouse/postgres/neighbours.py` looks for the same text. #}

{% macro mark_text() -%}
    Made by the Debitura pipeline
{%- endmacro %}
