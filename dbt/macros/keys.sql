{# Primary and foreign keys as the models' files declare them (`constraints` of the model). Postgres gets them, and the indexes of
   `meta.postgres_indexes`, once the rows are there, which is faster than to keep them up to date row by row; the names are those that
   Postgres chooses, so tables under another name or in another schema are never in the way. DuckDB would hold each key in an
   index in memory, and not let go of a table that another refers to: there the declarations only inform. Called as a post-hook. #}

{% macro default__get_table_columns_and_constraints() -%}
    ({{ adapter.render_raw_columns_constraints(raw_columns=model['columns']) | join(', ') }})
{%- endmacro %}

{% macro add_keys() -%}
    {{ return(adapter.dispatch('add_keys', 'debitura')()) }}
{%- endmacro %}

{% macro duckdb__add_keys() -%}{%- endmacro %}

{# An incremental table that was built in place has its keys already. Its older rows are not checked again. #}
{% macro postgres__add_keys() -%}
    {%- if execute and not has_keys() -%}
        {%- set keys = adapter.render_raw_model_constraints(raw_constraints=model['constraints']) -%}
        {%- for key in keys | sort(reverse=true) %}
    alter table {{ this }} add {{ key }}
        {{- ' not valid' if key.startswith('foreign') and config.get('materialized') == 'incremental' }};
        {%- endfor %}
        {%- for columns in model.config.get('meta', {}).get('postgres_indexes', []) %}
    create index on {{ this }} ({{ columns | join(', ') }});
        {%- endfor %}
    analyze {{ this }};
    {%- endif -%}
{%- endmacro %}

{% macro has_keys() -%}
    {%- set query -%}
    select count(*) from pg_catalog.pg_constraint where contype in ('p', 'f') and conrelid = to_regclass('{{ this }}')
    {%- endset -%}
    {{ return(run_query(query).rows[0][0] > 0) }}
{%- endmacro %}
