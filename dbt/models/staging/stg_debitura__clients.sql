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
    _first_seen_at as first_seen_at,
    _changed_at as changed_at,
    _verified_at as verified_at,
    _deleted_at as deleted_at
from {{ source('debitura', 'clients') }}
