{# Descriptions as comments in the catalogue, where BI tools show them: all of a relation's in one statement, instead of dbt's
   own two and a look-up of its columns. dbt calls this in the transaction that makes the relation. A described column that
   the relation lacks fails the build. #}

{% macro duckdb__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- do run_query(comments(relation, model, '')) -%}
{%- endmacro %}

{# With the mark at the end of the relation's comment. #}
{% macro postgres__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- do run_query(comments(relation, model, ' ' ~ mark_text())) -%}
{%- endmacro %}

{# A description as dbt has it is wrapped; as a comment it stands on one line. #}
{% macro comments(relation, model, mark) -%}
    {%- set kind = 'view' if model.config.materialized == 'view' else 'table' -%}
    comment on {{ kind }} {{ relation }} is '{{ (model.description.split() | join(' ') | replace("'", "''") ~ mark) | trim }}';
    {%- for column in model.columns.values() if column.description %}
    comment on column {{ relation }}."{{ column.name }}" is '{{ column.description.split() | join(' ') | replace("'", "''") }}';
    {%- endfor %}
{%- endmacro %}
