{# Descriptions as comments in the catalogue, where BI tools show them: all of a relation's in one statement, instead of dbt's
   own two and a look-up of its columns. dbt calls this in the transaction that makes the relation. A described column that
   the relation lacks fails the build. #}

{% macro duckdb__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- do run_query(comments(relation, model, one_line(model.description))) -%}
{%- endmacro %}

{# With the mark at the end of the relation's comment. #}
{% macro postgres__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- do run_query(comments(relation, model, (one_line(model.description) ~ ' ' ~ mark_text()) | trim)) -%}
{%- endmacro %}

{% macro comments(relation, model, description) -%}
    comment on {{ 'view' if model.config.materialized == 'view' else 'table' }} {{ relation }} is {{ string_literal(description) }};
    {%- for column in model.columns.values() if column.description %}
    comment on column {{ relation }}.{{ adapter.quote(column.name) }} is {{ string_literal(one_line(column.description)) }};
    {%- endfor %}
{%- endmacro %}

{# A description as dbt has it is wrapped. #}
{% macro one_line(text) -%}
    {{ (text or '').split() | join(' ') }}
{%- endmacro %}

{% macro string_literal(text) -%}
    '{{ text | replace("'", "''") }}'
{%- endmacro %}
