{{ config(post_hook="{{ create_as_of('cases') }}") }}
-- depends_on: {{ ref("stg_debitura__cases_history") }}

with clock as (
    select * from {{ ref('int_clock') }}
),

cases as (
    select * from {{ ref('stg_debitura__cases') }} where deleted_at is null
),

clients as (
    select creditor_id, client_record, attribution, linked_at, deleted_at as archived_at from {{ ref('dim_clients') }}
),

lifecycles as (
    select * from {{ ref('int_case_lifecycles') }}
),

close_codes as (
    select * from {{ ref('int_case_close_codes') }}
),

transactions as (
    select * from {{ ref('fct_transactions') }}
),

fees as (
    select
        case_id,
        count(*) as transaction_count,
        count(*) filter (where referral_fee_usd > 0 and revenue_stage not in ('Disputed', 'Unclassified'))
            as earning_transaction_count,
        min(occurred_at) filter (where referral_fee_usd > 0) as first_fee_at,
        max(occurred_at) filter (where referral_fee_usd > 0) as last_fee_at,
        {{ fee_columns() }}
    from transactions
    group by case_id
),

joined as (
    select
        cases.*,
        clock.as_of_day,
        coalesce(lifecycles.lifecycle_group, 'unknown') as lifecycle_group,
        close_codes.outcome as code_outcome,
        coalesce(clients.client_record, 'unknown') as client_record,
        coalesce(clients.attribution, 'unknown') as attribution,
        clients.linked_at,
        clients.archived_at,
        coalesce(fees.transaction_count, 0) as transaction_count,
        coalesce(fees.earning_transaction_count, 0) as earning_transaction_count,
        fees.first_fee_at,
        fees.last_fee_at,
        {{ fee_columns_or_zero('fees') }}
    from cases
    cross join clock
    left join lifecycles on lifecycles.lifecycle = cases.lifecycle
    left join close_codes on close_codes.close_code = cases.close_code
    left join clients on clients.creditor_id = cases.creditor_id
    left join fees on fees.case_id = cases.case_id
)

select
    case_id,
    reference,
    creditor_reference,
    external_tenant_id,
    coalesce(creditor_id, 'unknown') as creditor_id,
    company_name,
    debtor_key,
    debtor_name,
    debtor_country,
    gross_amount,
    remainder,
    currency,
    lifecycle,
    close_code,
    engagement_phase,
    created_at,
    due_at,
    collection_started_at,
    finished_at,
    needs_info,
    creditor_responded_at,
    collection_partner,
    expected_referral_rate_pct,
    first_seen_at,
    changed_at,
    verified_at,
    {{ utc_date('created_at') }} as created_on,
    {{ utc_month('created_at') }} as created_month,
    {{ utc_month('finished_at') }} as finished_month,
    lifecycle_group,
    lifecycle_group not in ('closed', 'merged') as is_open,
    case
        when lifecycle_group = 'merged' then 'merged'
        when lifecycle_group <> 'closed' then 'open'
        else coalesce(code_outcome, 'unknown')
    end as outcome,
    client_record,
    attribution,
    case
        when lifecycle_group not in ('closed', 'merged')
            then cast(as_of_day - {{ utc_date('created_at') }} as integer)
        else {{ days_between('created_at', 'finished_at') }}
    end as age_days,
    case when lifecycle_group in ('closed', 'merged') then {{ days_between('created_at', 'finished_at') }} end as days_to_close,
    cast(cast(gross_amount as decimal(28, 4)) - remainder as decimal(28, 4)) as recovered_amount,
    cast({{ div('(cast(gross_amount as decimal(28, 4)) - remainder)', 'gross_amount', 6) }} as decimal(28, 6)) as recovered_share,
    transaction_count,
    earning_transaction_count,
    first_fee_at,
    last_fee_at,
    {{ fee_column_list() }},
    case
        when earning_transaction_count > 0 then 'yes'
        when lifecycle_group = 'merged' or expected_referral_rate_pct = 0 then 'no'
        when client_record = 'archived'
            and not (lifecycle_group = 'closed' and {{ ended_while_linked('finished_at', 'archived_at') }}) then 'no'
        when client_record = 'unknown' then 'unknown'
        when {{ utc_date('created_at') }} < {{ utc_date('linked_at') }} and not {{ is_implausible('created_at') }}
            and not {{ is_implausible('linked_at') }} then 'no'
        when attribution = 'attributed' then 'yes'
        else 'unknown'
    end as can_earn
from joined
-- One client's rows lie side by side, which is what dashboards filter by.
order by coalesce(creditor_id, 'unknown'), created_at
