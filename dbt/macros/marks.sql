{# The mark by which the pipeline knows what it has built in a Postgres database that others use too: a comment on every model
   and as-of function. Called as a post-hook of all models, in the transaction that makes them. `warehouse/pg_neighbours.py`
   looks for the same text. #}

{% macro mark_text() -%}
    'Made by the Debitura pipeline'
{%- endmacro %}

{% macro set_mark() -%}
    {{ return(adapter.dispatch('set_mark', 'debitura')()) }}
{%- endmacro %}

{% macro duckdb__set_mark() -%}
{%- endmacro %}

{% macro postgres__set_mark() -%}
    comment on {{ 'view' if model.config.materialized == 'view' else 'table' }} {{ this.include(database=false) }} is {{ mark_text() }}
{%- endmacro %}
