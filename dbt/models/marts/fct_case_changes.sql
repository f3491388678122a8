{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='case_id',
    on_schema_change='append_new_columns',
) }}

{%- set texts = [
    'external_tenant_id', 'creditor_id', 'company_name', 'reference', 'creditor_reference', 'debtor_key', 'debtor_country', 'currency',
    'lifecycle', 'close_code', 'engagement_phase', 'collection_partner'
] -%}
{%- set amounts = ['gross_amount', 'remainder', 'expected_referral_rate_pct'] -%}
{%- set instants = ['created_at', 'due_at', 'collection_started_at', 'finished_at', 'creditor_responded_at'] -%}
{%- set flags = ['needs_info'] -%}
{%- set fields = texts + amounts + instants + flags %}

with clock as (
    select * from {{ ref('int_clock') }}
),

history as (
    select * from {{ ref('stg_debitura__cases_history') }}
),

lifecycles as (
    select lifecycle, lifecycle_group in ('closed', 'merged') as is_closed from {{ ref('int_case_lifecycles') }}
),

-- Cases that can show a change: any but those that stand as they were on the first load. A second build takes only those
-- with a version that began or ended since; all of their changes are then written anew.
touched as (
    select distinct history.case_id
    from history
    cross join clock
    {% if is_incremental() %}
    cross join (select max(not_after) as at from {{ this }}) as known
    {% endif %}
    where (history.valid_to is not null or history.valid_from > clock.cases_first_load_at)
    {% if is_incremental() %}
    and (known.at is null or history.valid_to >= known.at or (history.valid_to is null and history.valid_from >= known.at))
    {% endif %}
),

-- Each version beside the one before it and the beginning of the next.
neighbours as (
    select
        history.*,
        coalesce(lifecycles.is_closed, false) as is_closed,
        greatest(history.valid_from, least(coalesce(history.verified_at, history.valid_from), history.valid_to)) as last_read_at,
        lag(history.valid_to) over by_time as prior_to,
        lag(greatest(history.valid_from, least(coalesce(history.verified_at, history.valid_from), history.valid_to)))
            over by_time as prior_last_read_at,
        lag(coalesce(lifecycles.is_closed, false)) over by_time as prior_is_closed,
        {%- for field in fields %}
        lag(history.{{ field }}) over by_time as prior_{{ field }},
        {%- endfor %}
        lead(history.valid_from) over by_time as next_from
    from history
    inner join touched on touched.case_id = history.case_id
    left join lifecycles on lifecycles.lifecycle = history.lifecycle
    window by_time as (partition by history.case_id order by history.valid_from)
),

changes as (
    {%- for field in fields %}
    select
        case_id,
        creditor_id,
        '{{ field }}' as field,
        {%- for prefix, name in [('prior_', 'from_value'), ('', 'to_value')] %}
        {% if field in instants %}{{ iso_text(prefix ~ field) }}{% else %}cast({{ prefix ~ field }} as varchar){% endif %}
            as {{ name }},
        {%- endfor %}
        prior_last_read_at as not_before,
        valid_from as not_after,
        {% if field in ['gross_amount', 'remainder'] -%}
        case when prior_currency = currency then cast({{ field }} as decimal(28, 4)) - prior_{{ field }} end
        {%- else -%}
        cast(null as decimal(28, 4))
        {%- endif %} as delta_amount,
        currency,
        {{ 'prior_is_closed and not is_closed' if field == 'lifecycle' else 'false' }} as is_reopening
    from neighbours
    where prior_to = valid_from and prior_{{ field }} is distinct from {{ field }}
    union all
    {%- endfor %}
    select
        neighbours.case_id,
        neighbours.creditor_id,
        'presence',
        case when neighbours.prior_to is not null then 'gone' end,
        'there',
        cast(null as timestamptz),
        neighbours.valid_from,
        cast(null as decimal(28, 4)),
        neighbours.currency,
        false
    from neighbours
    cross join clock
    where neighbours.prior_to < neighbours.valid_from
        or (neighbours.prior_to is null and neighbours.valid_from > clock.cases_first_load_at)
    union all
    select case_id, creditor_id, 'presence', 'there', 'gone', last_read_at, valid_to, cast(null as decimal(28, 4)), currency, false
    from neighbours
    where valid_to is not null and (next_from is null or next_from > valid_to)
)

select
    case_id || ' ' || field || ' ' || {{ iso_text('not_after') }}
        || case when to_value = 'gone' and field = 'presence' then ' gone' else '' end as change_id,
    case_id,
    coalesce(creditor_id, 'unknown') as creditor_id,
    field,
    from_value,
    to_value,
    not_before,
    not_after,
    cast(delta_amount as decimal(28, 4)) as delta_amount,
    currency,
    is_reopening
from changes
where not_after > (select clock.cases_first_load_at from clock)
