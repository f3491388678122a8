{#- Every check: area, verdict where its figure is above 0, unit, what is checked, what to do. -#}
{%- set checks = {
    'simulated_data': ('origin', 'warn', 'warehouses', 'The data is simulated: it is that of the embedded sandbox, and no figure is real',
        'Set DEBITURA_ENVIRONMENT, and another DEBITURA_DATA_DIR, to read the API itself.'),
    'quarantine_open': ('contract', 'warn', 'rows', 'Rows that do not fit the contract and are not loaded',
        'Read ops.quarantine: the reason says which value was refused; those rows are missing from every figure.'),
    'schema_drift': ('contract', 'warn', 'fields or values', 'Fields or enum values that the API first sent in the last 30 days',
        'Read ops.schema_drift and decide whether the new field or value matters; unknown fields are kept in column extra of raw.'),
    'unclassified_stages': ('contract', 'warn', 'transactions', 'Transactions whose statuses fit none of the documented stages',
        'Look at their three statuses in marts.fct_transactions; ask Debitura what the combination means.'),
    'unknown_lifecycles': ('contract', 'warn', 'cases', 'Cases with a lifecycle that no document names; they count as open',
        'Find out whether the lifecycle is open or closed and add it to int_lifecycles.'),
    'unknown_close_codes': ('contract', 'warn', 'cases', 'Closed cases without a close code that a document names',
        'Add a new code to int_close_codes with its outcome group.'),
    'unknown_invoicing_mode': ('contract', 'warn', 'modes', 'The API states no invoicing mode that is known; PayWhenPaid is assumed',
        'Ask Debitura for the invoicing trigger mode: it decides which fees may be invoiced.'),
    'control_totals_transactions': ('completeness', 'fail', 'totals', 'Totals of transactions that differ from the API',
        'Read reports.payout_reconciliation; run a full sync (debitura sync --full) and compare again.'),
    'control_totals_cases': ('completeness', 'warn', 'totals', 'Totals of cases that differ from the API',
        'Read reports.payout_reconciliation; run a full sync (debitura sync --full) and compare again.'),
    'control_totals_clients': ('completeness', 'warn', 'totals', 'Totals of clients, and per client, that differ from the API',
        'Read reports.payout_reconciliation; a client that differs can be read again by itself.'),
    'control_totals_missing': ('completeness', 'warn', 'resources', 'Resources of which no total has been compared with the API',
        'Run debitura reconcile; without a comparison the figures are unproven.'),
    'syncs_unproven': ('completeness', 'warn', 'resources', 'Resources whose last good sync is not proven: something differs or could not be compared',
        'Read message in ops.syncs, which says what and why, and ops.control_totals; the next sync tries again.'),
    'syncs_failed': ('freshness', 'warn', 'resources', 'Resources whose last sync failed; their figures are those of the sync before',
        'Read message in ops.syncs, mend what it names, and run again.'),
    'duplicate_keys': ('consistency', 'fail', 'rows', 'Rows of raw that share a key with another',
        'Rebuild raw with debitura replay.'),
    'history_mismatch': ('consistency', 'fail', 'rows', 'Versions in history that overlap with the newest one of their row',
        'Rebuild raw with debitura replay.'),
    'transactions_of_unknown_case': ('consistency', 'warn', 'transactions', 'Transactions whose case is not listed',
        'See attribution_gaps.'),
    'transactions_of_unknown_client': ('consistency', 'warn', 'transactions', 'Transactions whose client was never listed',
        'See attribution_gaps.'),
    'transactions_without_usd': ('consistency', 'warn', 'transactions', 'Transactions without a fee in USD, a currency or a date; they are missing from sums or months',
        'Ask Debitura for the missing value.'),
    'fee_not_as_rate': ('consistency', 'warn', 'transactions', 'Transactions whose fee is not revenue times rate, by more than a cent',
        'Ask Debitura about the rows; the reports keep the amount that the API gave.'),
    'usd_recognized_differs': ('consistency', 'warn', 'transactions', 'Recognised transactions whose recognised USD is not their fee in USD',
        'Ask Debitura which of the two amounts is paid out.'),
    'estimate_flag_differs': ('consistency', 'warn', 'transactions', 'Transactions whose estimate flag does not follow from the commission status',
        'Treat the amount as an estimate; ask Debitura.'),
    'final_fee_changed': ('consistency', 'warn', 'changes', 'Fees edited in the last 30 days after they were final',
        'See kind edited in marts.fct_stage_changes; compare with what was invoiced.'),
    'tenants_reused': ('consistency', 'warn', 'tenant ids', 'Tenant ids that more than one client record has used',
        'Join on creditor_id, never on the tenant id.'),
    'attribution_gaps': ('completeness', 'warn', 'findings', 'Findings of money that may be missing', 'Read reports.attribution_gaps from the top.'),
} %}

with clock as (
    select * from {{ ref('int_clock') }}
),

recent as (
    select as_of - interval '30 days' as since from clock
),

transaction_checks as (
    select
        count(*) filter (where revenue_stage = 'Unclassified') as unclassified_stages,
        min(stage_seen_at) filter (where revenue_stage = 'Unclassified') as unclassified_stages_since,
        count(*) filter (where case_record <> 'live') as transactions_of_unknown_case,
        min(first_seen_at) filter (where case_record <> 'live') as transactions_of_unknown_case_since,
        count(*) filter (where client_record = 'unknown') as transactions_of_unknown_client,
        min(first_seen_at) filter (where client_record = 'unknown') as transactions_of_unknown_client_since,
        count(*) filter (where referral_fee_usd is null or earnings_currency is null or occurred_at is null) as transactions_without_usd,
        min(first_seen_at) filter (where referral_fee_usd is null or earnings_currency is null or occurred_at is null)
            as transactions_without_usd_since,
        count(*) filter (where {{ fee_is_off() }}) as fee_not_as_rate,
        min(changed_at) filter (where {{ fee_is_off() }}) as fee_not_as_rate_since,
        count(*) filter (where is_recognized and referral_fee_recognized_usd <> referral_fee_usd) as usd_recognized_differs,
        min(changed_at) filter (where is_recognized and referral_fee_recognized_usd <> referral_fee_usd) as usd_recognized_differs_since,
        count(*) filter (where is_estimate = (lower(commission_status) = 'paid')) as estimate_flag_differs,
        min(changed_at) filter (where is_estimate = (lower(commission_status) = 'paid')) as estimate_flag_differs_since
    from {{ ref('fct_transactions') }}
),

case_checks as (
    select
        count(*) filter (where lifecycle_group = 'unknown') as unknown_lifecycles,
        min(changed_at) filter (where lifecycle_group = 'unknown') as unknown_lifecycles_since,
        count(*) filter (where outcome = 'unknown') as unknown_close_codes,
        min(changed_at) filter (where outcome = 'unknown') as unknown_close_codes_since
    from {{ ref('fct_cases') }}
),

last_syncs as (
    select
        resource,
        status,
        is_proven,
        started_at,
        row_number() over (partition by resource order by started_at desc, finished_at desc) as place
    from {{ source('ops', 'syncs') }}
    where coalesce(mode, '') <> 'client'
),

last_proofs as (
    select
        started_at,
        is_proven,
        row_number() over (partition by resource order by started_at desc, finished_at desc) as place
    from {{ source('ops', 'syncs') }}
    where status = 'done' and coalesce(mode, '') <> 'client'
),

duplicates as (
    {%- for resource, key in [('clients', 'creditor_id'), ('cases', 'case_id'), ('transactions', 'transaction_id')] %}
    select count(*) - count(distinct {{ key }}) as rows_found from {{ ref('stg_debitura__' ~ resource) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

versions as (
    {%- for resource, key in [('clients', 'creditor_id'), ('cases', 'case_id'), ('transactions', 'transaction_id')] %}
    select count(*) as rows_found
    from {{ ref('stg_debitura__' ~ resource ~ '_history') }} as older
    inner join {{ ref('stg_debitura__' ~ resource) }} as newest on newest.{{ key }} = older.{{ key }}
    where older.valid_to is not null
        and older.valid_from <> newest.changed_at
        and (older.valid_to > newest.changed_at or older.valid_from > newest.changed_at)
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

tenants as (
    select external_tenant_id, max(linked_at) as reused_at
    from {{ ref('dim_clients') }}
    where external_tenant_id is not null
    group by external_tenant_id
    having count(*) > 1
),

figures as (
    select 'quarantine_open' as check_name, count(*) as figure, min(first_seen_at) as since
    from {{ source('ops', 'quarantine') }}
    where resolved_at is null
    union all
    select 'simulated_data', count(*), cast(null as timestamptz)
    from {{ source('ops', 'identity') }}
    where host = 'embedded sandbox'
    union all
    select 'schema_drift', count(*), min(drift.first_seen_at)
    from {{ source('ops', 'schema_drift') }} as drift
    inner join recent on drift.first_seen_at >= recent.since
    union all
    select 'unknown_invoicing_mode', case when count(*) > 0 then 0 else 1 end, cast(null as timestamptz)
    from {{ ref('stg_debitura__partner_history') }}
    where valid_to is null and lower(invoicing_trigger_mode) in ('paywhenpaid', 'confirmedpipeline')
    {%- for resource in ['transactions', 'cases', 'clients'] %}
    union all
    select 'control_totals_{{ resource }}', count(*), min(checked_at)
    from {{ ref('payout_reconciliation') }}
    where resource = '{{ resource }}' and verdict = 'differs'
    {%- endfor %}
    union all
    select 'control_totals_missing', 3 - count(distinct resource), cast(null as timestamptz)
    from {{ ref('payout_reconciliation') }}
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
    select 'final_fee_changed', count(*), min(changes.not_after)
    from {{ ref('fct_stage_changes') }} as changes
    inner join recent on changes.not_after >= recent.since
    where not changes.from_is_estimate and changes.edit_usd <> 0
    union all
    select 'tenants_reused', count(*), min(reused_at) from tenants
    union all
    select 'attribution_gaps', count(*), min(since) from {{ ref('attribution_gaps') }}
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
    from {{ ref('stg_debitura__' ~ resource) }}
    where deleted_at is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

judged as (
    select
        figures.check_name,
        documented.area,
        case when figures.figure > 0 then documented.verdict else 'ok' end as verdict,
        cast(figures.figure as decimal(38, 4)) as figure,
        documented.unit,
        case when figures.figure > 0 then figures.since end as since,
        documented.meaning,
        documented.what_to_do
    from figures
    inner join (
        values
        {%- for check, (area, verdict, unit, meaning, what_to_do) in checks.items() %}
            ('{{ check }}', '{{ area }}', '{{ verdict }}', '{{ unit }}', '{{ meaning }}', '{{ what_to_do }}'){{ ',' if not loop.last }}
        {%- endfor %}
    ) as documented (check_name, area, verdict, unit, meaning, what_to_do) on documented.check_name = figures.check_name
    union all
    select
        'freshness_' || lags.resource,
        'freshness',
        case when lags.last_at >= clock.as_of - interval '36 hours' then 'ok' else 'warn' end,
        cast(floor(extract(epoch from clock.as_of - lags.last_at) / 3600) as decimal(38, 4)),
        'hours',
        lags.last_at,
        'Hours from the last good sync of ' || lags.resource || ' to the instant of these figures; none: never',
        'Run a sync; more than 36 hours mean that a night was missed.'
    from lags
    cross join clock
    union all
    select
        'deleted_' || deletions.resource,
        'completeness',
        'ok',
        cast(deletions.figure as decimal(38, 4)),
        'rows',
        deletions.since,
        'Rows of ' || deletions.resource || ' that the listing no longer shows; in no figure, but in history (since: the latest)',
        'Nothing, unless the number jumps.'
    from deletions
)

select * from judged
