{# An incremental model whose table has other columns or types than its contract is built anew: rows of before would lack
   what a new column says. dbt itself would only append the column. #}

{% macro should_full_refresh() -%}
    {%- set asked = config.get('full_refresh') -%}
    {%- if asked is none -%}{%- set asked = flags.FULL_REFRESH -%}{%- endif -%}
    {{ return(asked or (config.get('materialized') == 'incremental' and has_other_shape())) }}
{%- endmacro %}

{% macro has_other_shape() -%}
    {%- set existing = load_cached_relation(this) if execute else none -%}
    {%- if existing is none or existing.is_view -%}{{ return(false) }}{%- endif -%}
    {%- set found, agreed = [], [] -%}
    {%- for column in adapter.get_columns_in_relation(existing) -%}
        {%- do found.append(column.name ~ ' ' ~ type_key(column.data_type)) -%}
    {%- endfor -%}
    {%- for column in model.columns.values() -%}
        {%- do agreed.append(column.name ~ ' ' ~ type_key(column.data_type)) -%}
    {%- endfor -%}
    {{ return(found | sort != agreed | sort) }}
{%- endmacro %}

{# A type's name as both engines and the contracts would write it; text has no length. #}
{% macro type_key(data_type) -%}
    {%- set name = data_type | lower | replace(' ', '') -%}
    {%- if name.startswith('charactervarying') or name.startswith('varchar') or name == 'text' -%}{{ return('varchar') }}{%- endif -%}
    {{ return(name | replace('decimal', 'numeric') | replace('timestampwithtimezone', 'timestamptz')) }}
{%- endmacro %}
