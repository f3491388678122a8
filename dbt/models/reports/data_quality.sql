with clock as (
    select * from {{ ref('int_clock') }}
),

syncs as (
    select * from {{ source('ops', 'syncs') }} where coalesce(mode, '') <> 'client'
),

quarantine as (
    select * from {{ source('ops', 'quarantine') }} where resolved_at is null
),

schema_drift as (
    select * from {{ source('ops', 'schema_drift') }}
),

identity as (
    select * from {{ source('ops', 'identity') }}
),

partner_history as (
    select * from {{ ref('stg_debitura__partner_history') }}
),

transactions as (
    select * from {{ ref('fct_transactions') }}
),

cases as (
    select * from {{ ref('fct_cases') }}
),

clients as (
    select * from {{ ref('dim_clients') }} where client_record <> 'unknown'
),

stage_changes as (
    select * from {{ ref('fct_stage_changes') }}
),

reconciliation as (
    select * from {{ ref('payout_reconciliation') }}
),

gaps as (
    select * from {{ ref('attribution_gaps') }}
),

checks as (
    select check_name, area, severity, coalesce(needs, '') as needs, unit, meaning, what_to_do from {{ ref('data_quality_checks') }}
),
{% for resource, key in [('clients', 'creditor_id'), ('cases', 'case_id'), ('transactions', 'transaction_id')] %}
{# Each is read three times, for a few columns of it. #}
all_{{ resource }} as not materialized (
    select {{ key }}, changed_at, deleted_at from {{ ref('stg_debitura__' ~ resource) }}
),

{{ resource }}_history as (
    select {{ key }}, valid_from, valid_to from {{ ref('stg_debitura__' ~ resource ~ '_history') }}
),
{% endfor %}
recent as (
    select as_of - interval '30 days' as since from clock
),

transaction_checks as (
    select
        count(*) filter (where revenue_stage = 'Unclassified') as unclassified_stages,
        {{ money_sum('referral_fee_usd', "revenue_stage = 'Unclassified'") }} as unclassified_stages_usd,
        min(stage_seen_at) filter (where revenue_stage = 'Unclassified') as unclassified_stages_since,
        count(*) filter (where case_record <> 'live') as transactions_of_unknown_case,
        {{ money_sum('referral_fee_usd', "case_record <> 'live'") }} as transactions_of_unknown_case_usd,
        min(first_seen_at) filter (where case_record <> 'live') as transactions_of_unknown_case_since,
        count(*) filter (where client_record = 'unknown') as transactions_of_unknown_client,
        {{ money_sum('referral_fee_usd', "client_record = 'unknown'") }} as transactions_of_unknown_client_usd,
        min(first_seen_at) filter (where client_record = 'unknown') as transactions_of_unknown_client_since,
        count(*) filter (where referral_fee_usd is null or earnings_currency is null or occurred_at is null)
            as transactions_without_usd,
        min(first_seen_at) filter (where referral_fee_usd is null or earnings_currency is null or occurred_at is null)
            as transactions_without_usd_since,
        count(*) filter (where {{ is_implausible('occurred_at') }}) as implausible_transactions,
        min(first_seen_at) filter (where {{ is_implausible('occurred_at') }}) as implausible_transactions_since,
        count(*) filter (where {{ fee_is_off() }}) as fee_not_as_rate,
        min(changed_at) filter (where {{ fee_is_off() }}) as fee_not_as_rate_since,
        count(*) filter (where is_recognized and referral_fee_recognized_usd <> referral_fee_usd) as usd_recognized_differs,
        min(changed_at) filter (where is_recognized and referral_fee_recognized_usd <> referral_fee_usd)
            as usd_recognized_differs_since,
        count(*) filter (where is_estimate = (lower(commission_status) = 'paid')) as estimate_flag_differs,
        min(changed_at) filter (where is_estimate = (lower(commission_status) = 'paid')) as estimate_flag_differs_since
    from transactions
),

case_checks as (
    select
        count(*) filter (where lifecycle_group = 'unknown') as unknown_lifecycles,
        min(changed_at) filter (where lifecycle_group = 'unknown') as unknown_lifecycles_since,
        count(*) filter (where outcome = 'unknown') as unknown_close_codes,
        min(changed_at) filter (where outcome = 'unknown') as unknown_close_codes_since,
        count(*) filter (where {{ is_implausible('created_at') }} or {{ is_implausible('finished_at') }}) as implausible_cases,
        min(first_seen_at) filter (where {{ is_implausible('created_at') }} or {{ is_implausible('finished_at') }})
            as implausible_cases_since
    from cases
),

client_checks as (
    select
        count(*) filter (where {{ is_implausible('linked_at') }}) as implausible_clients,
        min(first_seen_at) filter (where {{ is_implausible('linked_at') }}) as implausible_clients_since
    from clients
),

last_syncs as (
    select
        resource,
        status,
        is_proven,
        started_at,
        row_number() over (partition by resource order by started_at desc, finished_at desc) as place
    from syncs
),

last_proofs as (
    select
        started_at,
        is_proven,
        row_number() over (partition by resource order by started_at desc, finished_at desc) as place
    from syncs
    where status = 'done'
),

duplicates as (
    {%- for resource, key in [('clients', 'creditor_id'), ('cases', 'case_id'), ('transactions', 'transaction_id')] %}
    select count(*) - count(distinct {{ key }}) as rows_found from all_{{ resource }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

versions as (
    {%- for resource, key in [('clients', 'creditor_id'), ('cases', 'case_id'), ('transactions', 'transaction_id')] %}
    select count(*) as rows_found
    from {{ resource }}_history as older
    inner join all_{{ resource }} as newest on newest.{{ key }} = older.{{ key }}
    where older.valid_to is not null
        and older.valid_from <> newest.changed_at
        and (older.valid_to > newest.changed_at or older.valid_from > newest.changed_at)
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

final_edits as (
    select stage_changes.not_after, stage_changes.edit_usd
    from stage_changes
    inner join recent on stage_changes.not_after >= recent.since
    where not stage_changes.from_is_estimate and stage_changes.edit_usd <> 0
),

tenants as (
    select external_tenant_id, max(linked_at) as reused_at
    from clients
    where external_tenant_id is not null
    group by external_tenant_id
    having count(*) > 1
),

figures as (
    select 'quarantine_open' as check_name, count(*) as figure, min(first_seen_at) as since
    from quarantine
    union all
    select 'simulated_data', count(*), cast(null as timestamptz)
    from identity
    where host = 'embedded sandbox'
    union all
    select 'schema_drift', count(*), min(schema_drift.first_seen_at)
    from schema_drift
    inner join recent on schema_drift.first_seen_at >= recent.since
    union all
    select 'unknown_invoicing_mode', case when count(*) > 0 then 0 else 1 end, cast(null as timestamptz)
    from partner_history
    where valid_to is null and lower(invoicing_trigger_mode) in ('paywhenpaid', 'confirmedpipeline')
    {%- for resource in ['transactions', 'cases', 'clients'] %}
    union all
    select 'control_totals_{{ resource }}', count(*), min(checked_at)
    from reconciliation
    where resource = '{{ resource }}' and verdict = 'differs'
    {%- endfor %}
    union all
    select 'control_totals_missing', 3 - count(distinct resource), cast(null as timestamptz)
    from reconciliation
    where scope = 'all' and checked_at is not null
    union all
    select 'syncs_unproven', count(*), min(started_at)
    from last_proofs
    where place = 1 and not coalesce(is_proven, false)
    union all
    select 'syncs_failed', count(*), min(started_at) from last_syncs where place = 1 and status <> 'done'
    union all
    select 'duplicate_keys', coalesce(sum(rows_found), 0), cast(null as timestamptz) from duplicates
    union all
    select 'history_mismatch', coalesce(sum(rows_found), 0), cast(null as timestamptz) from versions
    {%- for check in [
        'unclassified_stages', 'transactions_of_unknown_case', 'transactions_of_unknown_client', 'transactions_without_usd',
        'fee_not_as_rate', 'usd_recognized_differs', 'estimate_flag_differs'
    ] %}
    union all
    select '{{ check }}', {{ check }}, {{ check }}_since from transaction_checks
    {%- endfor %}
    {%- for check in ['unknown_lifecycles', 'unknown_close_codes'] %}
    union all
    select '{{ check }}', {{ check }}, {{ check }}_since from case_checks
    {%- endfor %}
    union all
    select
        'implausible_dates',
        transaction_checks.implausible_transactions + case_checks.implausible_cases + client_checks.implausible_clients,
        least(
            transaction_checks.implausible_transactions_since, case_checks.implausible_cases_since,
            client_checks.implausible_clients_since
        )
    from transaction_checks
    cross join case_checks
    cross join client_checks
    union all
    select 'final_fee_changed', count(*), min(not_after) from final_edits
    union all
    select 'tenants_reused', count(*), min(reused_at) from tenants
    union all
    select 'attribution_gaps', count(*), min(since) from gaps
),

-- What is said whatever the figure: it informs, or has a threshold of its own.
lags as (
    select
        listed.resource,
        max(last_syncs.started_at) as last_at
    from (values ('clients'), ('cases'), ('transactions')) as listed (resource)
    left join last_syncs on last_syncs.resource = listed.resource and last_syncs.status = 'done'
    group by listed.resource
),

deletions as (
    {%- for resource in ['clients', 'cases', 'transactions'] %}
    select '{{ resource }}' as resource, count(*) as figure, max(deleted_at) as since
    from all_{{ resource }}
    where deleted_at is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- Confirmed fees that went in the last 30 days and have not come back.
confirmed_deletions as (
    select stage_changes.transaction_id, -stage_changes.delta_usd as usd
    from stage_changes
    inner join recent on stage_changes.not_after >= recent.since
    inner join all_transactions
        on all_transactions.transaction_id = stage_changes.transaction_id and all_transactions.deleted_at = stage_changes.not_after
    where stage_changes.kind = 'gone' and not stage_changes.from_is_estimate
),

-- Every check with its figure, whether it passes, and since when not; a deletion as such only informs.
results as (
    select check_name, cast(figure as decimal(28, 4)) as figure, figure <= 0 as passes, case when figure > 0 then since end as since
    from figures
    union all
    select
        'freshness_' || lags.resource,
        cast(floor(extract(epoch from clock.as_of - lags.last_at) / 3600) as decimal(28, 4)),
        coalesce(lags.last_at >= clock.as_of - interval '36 hours', false),
        lags.last_at
    from lags
    cross join clock
    union all
    select
        'deleted_' || resource,
        cast(figure as decimal(28, 4)),
        resource <> 'transactions' or (select count(*) from confirmed_deletions) = 0,
        since
    from deletions
),

amounts as (
    {%- for check in ['unclassified_stages', 'transactions_of_unknown_case', 'transactions_of_unknown_client'] %}
    select '{{ check }}' as check_name, {{ check }}_usd as usd from transaction_checks
    union all
    {%- endfor %}
    select 'deleted_transactions', {{ money_sum('usd') }} from confirmed_deletions
    union all
    select 'final_fee_changed', {{ money_sum('edit_usd') }} from final_edits
),

-- Without these, a check has found nothing because it had nothing to look at.
readings as (
    select
        count(distinct resource) as listings,
        count(*) filter (where resource = 'clients') as clients,
        count(*) filter (where resource = 'cases') as cases,
        count(*) filter (where resource = 'transactions') as transactions
    from last_syncs
    where status = 'done'
),

comparisons as (
    select 'control_totals_' || resource as check_name, count(checked_at) as compared
    from reconciliation
    group by resource
),

judged as (
    select
        results.*,
        checks.area,
        checks.severity,
        checks.unit,
        checks.meaning,
        checks.what_to_do,
        case checks.needs
            when 'all' then readings.listings = 3
            when 'clients' then readings.clients > 0
            when 'cases' then readings.cases > 0
            when 'transactions' then readings.transactions > 0
            when 'all to pass' then readings.listings = 3 or not results.passes
            else true
        end
        and (results.check_name not like 'control_totals_%' or checks.needs = '' or coalesce(comparisons.compared, 0) > 0)
            as is_checked
    from results
    cross join readings
    left join checks on checks.check_name = results.check_name
    left join comparisons on comparisons.check_name = results.check_name
)

select
    judged.check_name,
    judged.area,
    case when not judged.is_checked then 'not_checked' when judged.passes then 'ok' else judged.severity end as verdict,
    case when judged.is_checked then judged.figure end as figure,
    judged.unit,
    case when judged.is_checked then cast(amounts.usd as decimal(28, 4)) end as usd,
    case when judged.is_checked then judged.since end as since,
    judged.meaning,
    judged.what_to_do
from judged
left join amounts on amounts.check_name = judged.check_name
