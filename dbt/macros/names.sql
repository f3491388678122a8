{# Where things stand: schema names as they are, with `schema_suffix` where one is asked for, and relations without the
   database's name, so that views keep working
   in a copy of the file under another name. #}

{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim ~ var('schema_suffix', '') }}
{%- endmacro %}

{# Whether a relation that stands already has a column. #}
{% macro has_column(relation, column) -%}
    {{ return(column in adapter.get_columns_in_relation(relation) | map(attribute='name') | list) }}
{%- endmacro %}

{% macro ref() -%}
    {%- do return(builtins.ref(*varargs, **kwargs).include(database=false)) -%}
{%- endmacro %}

{% macro source() -%}
    {%- do return(builtins.source(*varargs, **kwargs).include(database=false)) -%}
{%- endmacro %}
