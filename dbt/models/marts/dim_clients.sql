with clients as (
    select * from {{ ref('stg_debitura__clients') }}
),

cases as (
    select creditor_id, created_at from {{ ref('stg_debitura__cases') }} where deleted_at is null
),

fees as (
    select creditor_id, occurred_at
    from {{ ref('stg_debitura__transactions') }}
    where deleted_at is null and referral_fee_usd > 0
),

-- Clients that cases and transactions name or named; `unknown` where they name none.
named as (
    {%- for resource in ['cases', 'transactions'] %}
    select coalesce(creditor_id, 'unknown') as creditor_id, external_tenant_id, company_name, valid_from
    from {{ ref('stg_debitura__' ~ resource ~ '_history') }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

never_listed as (
    select
        creditor_id,
        case when creditor_id <> 'unknown' then max(external_tenant_id collate "C") end as external_tenant_id,
        case when creditor_id <> 'unknown' then max(company_name collate "C") end as company_name,
        min(valid_from) as first_seen_at
    from named
    where creditor_id not in (select clients.creditor_id from clients)
    group by creditor_id
),

members as (
    select
        creditor_id,
        external_tenant_id,
        company_name,
        country,
        city,
        registration_number,
        is_attributed,
        onboarding_done,
        linked_at,
        kyc_status,
        cases_total,
        cases_closed,
        earnings_usd,
        first_seen_at,
        changed_at,
        verified_at,
        deleted_at,
        case when deleted_at is null then 'live' else 'archived' end as client_record
    from clients
    union all
    select
        creditor_id,
        external_tenant_id,
        company_name,
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        first_seen_at,
        null,
        null,
        null,
        'unknown'
    from never_listed
),

case_dates as (
    select coalesce(creditor_id, 'unknown') as creditor_id, min(created_at) as first_case_at, max(created_at) as last_case_at
    from cases
    group by coalesce(creditor_id, 'unknown')
),

fee_dates as (
    select coalesce(creditor_id, 'unknown') as creditor_id, min(occurred_at) as first_fee_at, max(occurred_at) as last_fee_at
    from fees
    group by coalesce(creditor_id, 'unknown')
)

select
    members.creditor_id,
    members.external_tenant_id,
    members.company_name,
    members.country,
    members.city,
    members.registration_number,
    members.is_attributed,
    members.onboarding_done,
    members.linked_at,
    members.kyc_status,
    members.cases_total,
    members.cases_closed,
    members.earnings_usd,
    members.first_seen_at,
    members.changed_at,
    members.verified_at,
    members.deleted_at,
    members.client_record = 'live' as is_live,
    members.client_record,
    case
        when members.is_attributed then 'attributed'
        when not members.is_attributed then 'linked'
        else 'unknown'
    end as attribution,
    case
        when members.client_record = 'archived' then 'archived'
        when members.onboarding_done then 'onboarded'
        when not members.onboarding_done then 'pending'
        else 'unknown'
    end as onboarding_state,
    case_dates.first_case_at,
    case_dates.last_case_at,
    fee_dates.first_fee_at,
    fee_dates.last_fee_at
from members
left join case_dates on case_dates.creditor_id = members.creditor_id
left join fee_dates on fee_dates.creditor_id = members.creditor_id
