-- Changes found since the reading that was published last, before the newest one: what is new against the report that was read
-- before. A first load is not a change.
{%- set client_fields = [
    'external_tenant_id', 'company_name', 'country', 'city', 'registration_number', 'is_attributed', 'onboarding_done',
    'linked_at', 'kyc_status'
] %}

with syncs as (
    select * from {{ source('ops', 'syncs') }} where status = 'done' and coalesce(mode, '') <> 'client'
),

clients as (
    select creditor_id, external_tenant_id, company_name from {{ ref('dim_clients') }}
),

stage_changes as (
    select * from {{ ref('fct_stage_changes') }}
),

case_changes as (
    select * from {{ ref('fct_case_changes') }}
),

clients_history as (
    select * from {{ ref('stg_debitura__clients_history') }}
),

readings as (
    select
        resource,
        coalesce(as_of, started_at) as as_of,
        published_at,
        dense_rank() over (partition by resource order by coalesce(as_of, started_at) desc) as number
    from syncs
),

-- Where there was one reading only, it is the first load. Two readings of one clock are one. Where no publication is noted, it is
-- the reading before.
since as (
    select
        resource,
        coalesce(
            max(as_of) filter (where number > 1 and published_at is not null),
            min(as_of) filter (where number <= 2)
        ) as since_at
    from readings
    group by resource
),

-- As in int_clock.
first_load as (
    select least(loaded.loaded_at, min(coalesce(syncs.as_of, syncs.started_at))) as loaded_at
    from (select min(valid_from) as loaded_at from clients_history) as loaded
    left join syncs on syncs.resource = 'clients'
    group by loaded.loaded_at
),

transaction_changes as (
    select
        'transaction' as subject,
        stage_changes.transaction_id as subject_id,
        stage_changes.change_id,
        case stage_changes.kind
            when 'appeared' then 'new'
            when 'fx' then 'edited'
            when 'flagged' then 'edited'
            else stage_changes.kind
        end as change,
        case
            when stage_changes.kind = 'edited' then 'referral_fee'
            when stage_changes.kind = 'fx' then 'referral_fee_usd'
            when stage_changes.kind = 'flagged' then 'is_estimate'
            else 'revenue_stage'
        end as field,
        stage_changes.creditor_id,
        stage_changes.case_id,
        case
            when stage_changes.kind = 'edited' then cast(stage_changes.from_referral_fee as varchar)
            when stage_changes.kind = 'fx' then cast(stage_changes.from_referral_fee_usd as varchar)
            when stage_changes.kind = 'flagged' then cast(stage_changes.from_is_estimate as varchar)
            else stage_changes.from_stage
        end as from_value,
        case
            when stage_changes.kind = 'edited' then cast(stage_changes.to_referral_fee as varchar)
            when stage_changes.kind = 'fx' then cast(stage_changes.to_referral_fee_usd as varchar)
            when stage_changes.kind = 'flagged' then cast(stage_changes.to_is_estimate as varchar)
            else stage_changes.to_stage
        end as to_value,
        coalesce(stage_changes.to_earnings_currency, stage_changes.from_earnings_currency) as currency,
        stage_changes.delta_referral_fee as delta_amount,
        stage_changes.delta_usd,
        case
            when stage_changes.to_stage in ('Disputed', 'Unclassified') then 0
            else coalesce(stage_changes.to_referral_fee_usd, 0)
        end
        - case
            when stage_changes.from_stage in ('Disputed', 'Unclassified') then 0
            else coalesce(stage_changes.from_referral_fee_usd, 0)
        end
            as delta_expected_usd,
        coalesce(stage_changes.to_stage, stage_changes.from_stage) not in ('Disputed', 'Unclassified') as is_expected_income,
        stage_changes.not_before,
        stage_changes.not_after
    from stage_changes
    inner join since on since.resource = 'transactions' and stage_changes.not_after > since.since_at
),

changes_of_cases as (
    select
        'case' as subject,
        case_changes.case_id as subject_id,
        case_changes.change_id,
        case
            when case_changes.is_reopening then 'reopened'
            when case_changes.field = 'lifecycle' then 'moved'
            when case_changes.field <> 'presence' then 'edited'
            when case_changes.to_value = 'gone' then 'gone'
            when case_changes.from_value = 'gone' then 'returned'
            else 'new'
        end as change,
        case_changes.field,
        case_changes.creditor_id,
        case_changes.case_id,
        case when case_changes.field <> 'presence' then case_changes.from_value end as from_value,
        case when case_changes.field <> 'presence' then case_changes.to_value end as to_value,
        case_changes.currency,
        case_changes.delta_amount,
        cast(null as decimal(28, 4)) as delta_usd,
        cast(null as decimal(28, 4)) as delta_expected_usd,
        cast(null as boolean) as is_expected_income,
        case_changes.not_before,
        case_changes.not_after
    from case_changes
    inner join since on since.resource = 'cases' and case_changes.not_after > since.since_at
),

versions as (
    select
        clients_history.*,
        greatest(valid_from, least(coalesce(verified_at, valid_from), valid_to)) as last_read_at,
        lag(valid_to) over by_time as prior_to,
        lag(greatest(valid_from, least(coalesce(verified_at, valid_from), valid_to))) over by_time as prior_last_read_at,
        {%- for field in client_fields %}
        lag({{ field }}) over by_time as prior_{{ field }},
        {%- endfor %}
        lead(valid_from) over by_time as next_from
    from clients_history
    window by_time as (partition by creditor_id order by valid_from)
),

found_of_clients as (
    {%- for field in client_fields %}
    select
        creditor_id,
        'edited' as change,
        '{{ field }}' as field,
        {%- for prefix, name in [('prior_', 'from_value'), ('', 'to_value')] %}
        {% if field == 'linked_at' %}{{ iso_text(prefix ~ field) }}{% else %}cast({{ prefix ~ field }} as varchar){% endif %}
            as {{ name }},
        {%- endfor %}
        prior_last_read_at as not_before,
        valid_from as not_after
    from versions
    where prior_to = valid_from and prior_{{ field }} is distinct from {{ field }}
    union all
    {%- endfor %}
    select
        versions.creditor_id,
        case when versions.prior_to is null then 'new' else 'returned' end,
        'presence',
        cast(null as varchar),
        cast(null as varchar),
        cast(null as timestamptz),
        versions.valid_from
    from versions
    cross join first_load
    where versions.prior_to < versions.valid_from or (versions.prior_to is null and versions.valid_from > first_load.loaded_at)
    union all
    select creditor_id, 'gone', 'presence', cast(null as varchar), cast(null as varchar), last_read_at, valid_to
    from versions
    where valid_to is not null and (next_from is null or next_from > valid_to)
),

changes_of_clients as (
    select
        'client' as subject,
        found.creditor_id as subject_id,
        found.creditor_id || ' ' || found.field || ' ' || {{ iso_text('found.not_after') }}
            || case when found.change = 'gone' then ' gone' else '' end as change_id,
        found.change,
        found.field,
        found.creditor_id,
        cast(null as varchar) as case_id,
        found.from_value,
        found.to_value,
        cast(null as varchar) as currency,
        cast(null as decimal(28, 4)) as delta_amount,
        cast(null as decimal(28, 4)) as delta_usd,
        cast(null as decimal(28, 4)) as delta_expected_usd,
        cast(null as boolean) as is_expected_income,
        found.not_before,
        found.not_after
    from found_of_clients as found
    inner join since on since.resource = 'clients' and found.not_after > since.since_at
),

changes as (
    select * from transaction_changes
    union all
    select * from changes_of_cases
    union all
    select * from changes_of_clients
)

select
    changes.subject,
    changes.subject_id,
    changes.change_id,
    changes.change,
    changes.field,
    changes.creditor_id,
    clients.external_tenant_id,
    clients.company_name,
    changes.case_id,
    changes.from_value,
    changes.to_value,
    changes.currency,
    cast(changes.delta_amount as decimal(28, 4)) as delta_amount,
    cast(changes.delta_usd as decimal(28, 4)) as delta_usd,
    cast(changes.delta_expected_usd as decimal(28, 4)) as delta_expected_usd,
    changes.is_expected_income,
    changes.not_before,
    changes.not_after
from changes
left join clients on clients.creditor_id = changes.creditor_id
