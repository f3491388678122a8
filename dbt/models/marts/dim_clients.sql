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

case_dates as (
    select creditor_id, min(created_at) as first_case_at, max(created_at) as last_case_at
    from cases
    group by creditor_id
),

fee_dates as (
    select creditor_id, min(occurred_at) as first_fee_at, max(occurred_at) as last_fee_at
    from fees
    group by creditor_id
)

select
    clients.creditor_id,
    clients.external_tenant_id,
    clients.company_name,
    clients.country,
    clients.city,
    clients.registration_number,
    clients.is_attributed,
    clients.onboarding_done,
    clients.linked_at,
    clients.kyc_status,
    clients.cases_total,
    clients.cases_closed,
    clients.earnings_usd,
    clients.first_seen_at,
    clients.changed_at,
    clients.verified_at,
    clients.deleted_at,
    clients.deleted_at is null as is_live,
    case
        when clients.is_attributed then 'attributed'
        when not clients.is_attributed then 'linked'
        else 'unknown'
    end as attribution,
    case
        when clients.deleted_at is not null then 'archived'
        when clients.onboarding_done then 'onboarded'
        when not clients.onboarding_done then 'pending'
        else 'unknown'
    end as onboarding_state,
    case_dates.first_case_at,
    case_dates.last_case_at,
    fee_dates.first_fee_at,
    fee_dates.last_fee_at
from clients
left join case_dates on case_dates.creditor_id = clients.creditor_id
left join fee_dates on fee_dates.creditor_id = clients.creditor_id
