{# `marts.transactions_as_of(ts)` and `marts.cases_as_of(ts)`: the rows as they were known at an instant, from history; sums by
   client, currency and stage are those of that time to the last digit. A
   table macro in DuckDB, a function in Postgres; made again whenever the mart is built. Called as post-hooks of the marts.
   Postgres: `begin atomic` holds on to the views themselves, whatever their schema is called later; and who may use the
   schema may ask, without any right to the history behind it. #}

{# USD of estimates as it was known then: the version has the last USD that was read, and `ops.estimate_totals` what the version's
   group came to at the time. The difference goes to the group's rows in proportion to their USD, cut off to 0.0001 on the
   running total, so that they add up to the group's sum exactly. One text for both engines, which a published copy of Postgres
   takes over: no quotients of decimals, which DuckDB would take as doubles. #}
{% macro estimate_columns() -%}
    {{ return(['referral_fee_usd', 'debitura_revenue_usd', 'referral_fee_recognized_usd']) }}
{%- endmacro %}

{% macro estimate_group() -%}
    {{ return([
        'creditor_id', 'earnings_currency', 'commission_status', 'platform_invoicing_status', 'referral_invoicing_status'
    ]) }}
{%- endmacro %}

{% macro holds_at(rows, ts) -%}
    {{ rows }}.valid_from <= {{ ts }} and ({{ rows }}.valid_to is null or {{ rows }}.valid_to > {{ ts }})
{%- endmacro %}

{# What rows with running total `upto` have of the group's difference. #}
{% macro share_of_gap(name, upto) -%}
    case
        when {{ upto }} = {{ name }}_whole then {{ name }}_gap
        else cast(
            floor(cast({{ name }}_gap as double precision) * 10000
                * (cast({{ upto }} as double precision) / cast({{ name }}_whole as double precision)))
            as decimal(28, 0)
        ) * 0.0001
    end
{%- endmacro %}

{# Written out wherever it is read: a CTE that is read twice, DuckDB keeps in full, and the whole query then reads every column. #}
{% macro estimates_at(ts) -%}
        select
            versions.transaction_id,
            {%- for name in estimate_group() %}
            {{ status_key('versions.' ~ name) }} as {{ name }},
            {%- endfor %}
            coalesce(versions.is_estimate, false) as is_floating,
            {%- for name in estimate_columns() %}
            coalesce(versions.{{ name }}, 0) as {{ name }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ ref('stg_debitura__transactions_history') }} as versions
        where coalesce(versions.is_estimate, true) and {{ holds_at('versions', ts) }}
{%- endmacro %}

{% macro revalued_estimates(ts) -%}
    {%- set group = estimate_group() -%}
    estimates_of_group as (
        {{ estimates_at(ts) }}
    ),

    estimates as (
        {{ estimates_at(ts) }}
    ),

    recorded as (
        select * from {{ source('ops', 'estimate_totals') }} as totals where {{ holds_at('totals', ts) }}
    ),

    last_read as (
        select
            {{ group | join(', ') }},
            count(*) filter (where is_floating) as floating_count,
            {%- for name in estimate_columns() %}
            sum({{ name }}) as {{ name }},
            coalesce(sum(abs({{ name }})) filter (where is_floating), 0) as {{ name }}_whole{{ ',' if not loop.last }}
            {%- endfor %}
        from estimates_of_group
        group by {{ group | join(', ') }}
    ),

    gaps as (
        select
            row_number() over (order by last_read.{{ group | join(', last_read.') }}) as number,
            {%- for name in group %}
            last_read.{{ name }},
            {%- endfor %}
            {%- for name in estimate_columns() %}
            recorded.{{ name }} - last_read.{{ name }} as {{ name }}_gap,
            last_read.{{ name }}_whole = 0 as {{ name }}_is_even,
            case when last_read.{{ name }}_whole = 0 then last_read.floating_count else last_read.{{ name }}_whole end
                as {{ name }}_whole{{ ',' if not loop.last }}
            {%- endfor %}
        from last_read
        inner join recorded
            on {% for name in group %}recorded.{{ name }} = last_read.{{ name }}{{ ' and ' if not loop.last }}{% endfor %}
        where {% for name in estimate_columns() %}recorded.{{ name }} <> last_read.{{ name }}{{ ' or ' if not loop.last }}{% endfor %}
    ),

    weighed as (
        select
            estimates.transaction_id,
            gaps.number,
            {%- for name in estimate_columns() %}
            estimates.{{ name }},
            gaps.{{ name }}_gap,
            gaps.{{ name }}_whole,
            case when gaps.{{ name }}_is_even then 1 else abs(estimates.{{ name }}) end as {{ name }}_weight{{ ',' if not loop.last }}
            {%- endfor %}
        from estimates
        inner join gaps
            on {% for name in group %}gaps.{{ name }} = estimates.{{ name }}{{ ' and ' if not loop.last }}{% endfor %}
        where estimates.is_floating
    ),

    running as (
        select
            weighed.*,
            {%- for name in estimate_columns() %}
            sum({{ name }}_weight) over (partition by number order by transaction_id) as {{ name }}_upto{{ ',' if not loop.last }}
            {%- endfor %}
        from weighed
    ),

    revalued as (
        select
            transaction_id,
            {%- for name in estimate_columns() %}
            cast(
                {{ name }} + {{ share_of_gap(name, name ~ '_upto') }}
                - {{ share_of_gap(name, '(' ~ name ~ '_upto - ' ~ name ~ '_weight)') }}
                as decimal(18, 4)
            ) as {{ name }}{{ ',' if not loop.last }}
            {%- endfor %}
        from running
    )
{%- endmacro %}

{% macro as_of_body(resource, ts, columns) -%}
    {%- if resource == 'transactions' -%}
    with {{ revalued_estimates(ts) }},

    stages_of_mode as (
        select stages.*
        from {{ ref('int_revenue_stages') }} as stages
        inner join {{ ref('int_invoicing_modes') }} as modes on modes.invoicing_trigger_mode = stages.invoicing_trigger_mode
        where modes.valid_from <= {{ ts }} and modes.valid_to > {{ ts }}
    ),

    {#- Rows that are no estimates stand apart: to look them up in `revalued` as well, DuckDB would read every key. #}
    known as (
        select
            {%- for name in columns %}
            versions.{{ adapter.quote(name) }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ ref('stg_debitura__transactions_history') }} as versions
        where not coalesce(versions.is_estimate, true) and {{ holds_at('versions', ts) }}
        union all
        select
            {%- for name in columns %}
            {% if name in estimate_columns() -%}
            case when revalued.{{ name }} is null or (versions.{{ name }} is null and revalued.{{ name }} = 0)
                then versions.{{ name }} else revalued.{{ name }} end as {{ name }}
            {%- else -%}
            versions.{{ adapter.quote(name) }}
            {%- endif %}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ ref('stg_debitura__transactions_history') }} as versions
        left join revalued on revalued.transaction_id = versions.transaction_id
        where coalesce(versions.is_estimate, true) and {{ holds_at('versions', ts) }}
    )

    select
        {%- for name in columns %}
        known.{{ adapter.quote(name) }},
        {%- endfor %}
        coalesce(stages.revenue_stage, 'Unclassified') as revenue_stage,
        modes.invoicing_trigger_mode
    from known
    inner join {{ ref('int_invoicing_modes') }} as modes on modes.valid_from <= {{ ts }} and modes.valid_to > {{ ts }}
    left join stages_of_mode as stages on {{ stage_join('stages', 'known') }}
    {%- else -%}
    select versions.*
    from {{ ref('stg_debitura__cases_history') }} as versions
    where {{ holds_at('versions', ts) }}
    {%- endif %}
{%- endmacro %}

{% macro create_as_of(resource) -%}
    {{ return(adapter.dispatch('create_as_of', 'debitura')(resource)) }}
{%- endmacro %}

{% macro duckdb__create_as_of(resource) -%}
    {%- set source = ref('stg_debitura__' ~ resource ~ '_history') -%}
    {%- set columns = adapter.get_columns_in_relation(source) if execute else [] -%}
    create or replace macro {{ this.schema }}.{{ resource }}_as_of(ts) as table
    {{ as_of_body(resource, 'cast(ts as timestamptz)', columns | map(attribute='name') | list) }}
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
    {{ as_of_body(resource, '$1', columns | map(attribute='name') | list) }};
    end;
    comment on function {{ this.schema }}.{{ resource }}_as_of(timestamptz)
    is 'The {{ resource }} as they were known at instant ts.
    {%- if resource == 'transactions' %} Sums of USD by client, currency and stage are those of that time; of a single estimate, USD is its share. Estimates of before the first row of ops.estimate_totals have the last USD that was read.{% endif %} {{ mark_text() }}'
{%- endmacro %}
