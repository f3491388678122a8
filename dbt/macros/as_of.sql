{# `marts.transactions_as_of(ts)` and `marts.cases_as_of(ts)`: the rows as they were known at an instant, from history. A
   table macro in DuckDB, a function in Postgres; made again whenever the mart is built. Called as post-hooks of the marts.
   Postgres: `begin atomic` holds on to the views themselves, whatever their schema is called later; and who may use the
   schema may ask, without any right to the history behind it. #}

{% macro as_of_body(resource, ts) -%}
    {%- if resource == 'transactions' -%}
    select versions.*, coalesce(stages.revenue_stage, 'Unclassified') as revenue_stage, modes.invoicing_trigger_mode
    from {{ ref('stg_debitura__transactions_history') }} as versions
    inner join {{ ref('int_invoicing_modes') }} as modes on modes.valid_from <= {{ ts }} and modes.valid_to > {{ ts }}
    left join {{ ref('int_revenue_stages') }} as stages
        on {{ stage_join('stages', 'versions', 'modes.invoicing_trigger_mode') }}
    {%- else -%}
    select versions.*
    from {{ ref('stg_debitura__cases_history') }} as versions
    {%- endif %}
    where versions.valid_from <= {{ ts }} and (versions.valid_to is null or versions.valid_to > {{ ts }})
{%- endmacro %}

{% macro create_as_of(resource) -%}
    {{ return(adapter.dispatch('create_as_of', 'debitura')(resource)) }}
{%- endmacro %}

{% macro duckdb__create_as_of(resource) -%}
    create or replace macro {{ this.schema }}.{{ resource }}_as_of(ts) as table
    {{ as_of_body(resource, 'cast(ts as timestamptz)') }}
{%- endmacro %}

{% macro postgres__create_as_of(resource) -%}
    {%- set source = ref('stg_debitura__' ~ resource ~ '_history') -%}
    {%- set columns = adapter.get_columns_in_relation(source) if execute else [] -%}
    drop function if exists {{ this.schema }}.{{ resource }}_as_of(timestamptz);
    create function {{ this.schema }}.{{ resource }}_as_of(ts timestamptz)
    returns table (
        {%- for column in columns %}{{ adapter.quote(column.name) }} {{ column.data_type }}{{ ', ' if not loop.last }}{% endfor -%}
        {%- if resource == 'transactions' %}, revenue_stage text, invoicing_trigger_mode text{% endif -%}
    )
    language sql stable security definer
    begin atomic
    {{ as_of_body(resource, '$1') }};
    end;
    comment on function {{ this.schema }}.{{ resource }}_as_of(timestamptz)
    is 'The {{ resource }} as they were known at instant ts. {{ mark_text() }}'
{%- endmacro %}
