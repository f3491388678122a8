{%- set stuck_days = env_var('DEBITURA_STUCK_DAYS', '14') | int -%}
with clock as (
    select as_of from {{ ref('int_clock') }}
),

clients as (
    select * from {{ ref('dim_clients') }} where client_record <> 'unknown'
),

clients_history as (
    select creditor_id, onboarding_done, valid_from from {{ ref('stg_debitura__clients_history') }}
),

fct_cases as (
    select creditor_id, created_at from {{ ref('fct_cases') }}
),

transactions as (
    select creditor_id, occurred_at from {{ ref('fct_transactions') }}
),

registrations as (
    select * from {{ source('ops', 'registrations') }} where external_tenant_id is not null
),

all_onboarding as (
    select * from {{ source('ops', 'onboarding') }}
),

submissions as (
    select external_tenant_id, creditor_id, state from {{ source('ops', 'submissions') }}
),

signatures as (
    select creditor_id, min(valid_from) as signed_at
    from clients_history
    where onboarding_done
    group by creditor_id
),

cases as (
    select creditor_id, min(created_at) as first_case_at from fct_cases group by creditor_id
),

payments as (
    select creditor_id, min(occurred_at) as first_payment_at from transactions group by creditor_id
),

-- A client record that was linked again under another tenant id has two rows.
onboarding as (
    select * from (
        select *, row_number() over (partition by creditor_id order by updated_at desc, partition_key collate "C") as place
        from all_onboarding
    ) as ranked
    where place = 1
),

-- The client record that a tenant id stands for now.
tenants as (
    select external_tenant_id, creditor_id from (
        select
            external_tenant_id,
            creditor_id,
            row_number() over (
                partition by external_tenant_id
                order by is_listed desc, case when linked_at is null then 1 else 0 end, linked_at desc, creditor_id collate "C"
            ) as place
        from (
            select external_tenant_id, creditor_id, linked_at, 1 as is_listed from clients where is_live
            union all
            select external_tenant_id, creditor_id, registered_at, 0 from onboarding where state <> 'gone'
        ) as known
        where external_tenant_id is not null
    ) as ranked
    where place = 1
),

wanted as (
    select * from (
        select
            found.*,
            row_number() over (
                partition by client_key
                order by case when outcome_at is null then 1 else 0 end, outcome_at desc, external_tenant_id collate "C"
            ) as place
        from (
            select
                coalesce(registrations.creditor_id, tenants.creditor_id, 'tenant ' || registrations.external_tenant_id)
                    as client_key,
                coalesce(registrations.creditor_id, tenants.creditor_id) as creditor_id,
                registrations.external_tenant_id,
                registrations.state,
                registrations.intent_at,
                registrations.outcome_at,
                registrations.message,
                registrations.error_types
            from registrations
            left join tenants on tenants.external_tenant_id = registrations.external_tenant_id
        ) as found
    ) as ranked
    where place = 1
),

claims as (
    select
        coalesce(submissions.creditor_id, tenants.creditor_id, 'tenant ' || submissions.external_tenant_id) as client_key,
        count(*) filter (where submissions.state in ('submitted', 'already_there', 'changed_after')) as claims_submitted,
        count(*) filter (where submissions.state in ('planned', 'sent', 'waiting_for_client')) as claims_waiting
    from submissions
    left join tenants on tenants.external_tenant_id = submissions.external_tenant_id
    group by coalesce(submissions.creditor_id, tenants.creditor_id, 'tenant ' || submissions.external_tenant_id)
),

everyone as (
    select creditor_id as client_key from clients
    union
    select creditor_id from onboarding
    union
    select client_key from wanted
),

joined as (
    select
        everyone.client_key,
        coalesce(clients.creditor_id, onboarding.creditor_id, wanted.creditor_id) as creditor_id,
        coalesce(clients.external_tenant_id, onboarding.external_tenant_id, wanted.external_tenant_id) as external_tenant_id,
        clients.company_name,
        wanted.state as registration_state,
        onboarding.state as onboarding_state,
        coalesce(
            onboarding.registered_at, clients.linked_at,
            case when wanted.state in ('registered', 'pending_signature') then wanted.outcome_at end
        ) as registered_at,
        coalesce(onboarding.signed_at, signatures.signed_at) as signed_at,
        case when onboarding.access_ok then onboarding.access_checked_at end as access_at,
        onboarding.history_loaded_at,
        coalesce(cases.first_case_at, onboarding.first_case_at) as first_case_at,
        payments.first_payment_at,
        coalesce(claims.claims_submitted, 0) as claims_submitted,
        coalesce(claims.claims_waiting, 0) as claims_waiting,
        case
            when clients.is_live then false
            else clients.creditor_id is not null or onboarding.state = 'gone' or wanted.state = 'withdrawn'
        end as has_left,
        clients.creditor_id is not null or onboarding.creditor_id is not null
        or wanted.state in ('registered', 'pending_signature') as is_registered,
        onboarding.state in ('signed', 'loaded') or clients.onboarding_done
        or (clients.creditor_id is null and wanted.state = 'registered') as is_signed,
        coalesce(clients.deleted_at, wanted.outcome_at, onboarding.updated_at) as left_at,
        coalesce(wanted.outcome_at, wanted.intent_at) as wanted_at,
        onboarding.updated_at,
        onboarding.outstanding,
        onboarding.message,
        wanted.message as registration_message,
        wanted.error_types
    from everyone
    left join clients on clients.creditor_id = everyone.client_key
    left join onboarding on onboarding.creditor_id = everyone.client_key
    left join wanted on wanted.client_key = everyone.client_key
    left join claims on claims.client_key = everyone.client_key
    left join signatures on signatures.creditor_id = everyone.client_key
    left join cases on cases.creditor_id = everyone.client_key
    left join payments on payments.creditor_id = everyone.client_key
),

-- A client may have cases before it has signed; what is missing comes first.
staged as (
    select
        joined.*,
        case
            when has_left then 'left'
            when not is_registered then 'wanted'
            when onboarding_state = 'must_sign_again' then 'must_sign_again'
            when is_signed is not true then 'registered'
            when history_loaded_at is null and access_at is null then 'signed'
            when history_loaded_at is null then 'access'
            when first_case_at is null then 'loaded'
            when first_payment_at is null then 'first_case'
            else 'first_payment'
        end as stage
    from joined
),

dated as (
    select
        staged.*,
        case stage
            when 'left' then left_at
            when 'wanted' then wanted_at
            when 'must_sign_again' then updated_at
            when 'registered' then registered_at
            when 'signed' then signed_at
            when 'access' then access_at
            when 'loaded' then history_loaded_at
            when 'first_case' then first_case_at
            else first_payment_at
        end as stage_since
    from staged
),

aged as (
    select
        dated.*,
        case when dated.stage_since is not null and clock.as_of is not null
            then greatest({{ days_between('dated.stage_since', 'clock.as_of') }}, 0) end as days_in_stage
    from dated
    cross join clock
)

select
    client_key,
    creditor_id,
    external_tenant_id,
    company_name,
    stage,
    stage_since,
    days_in_stage,
    coalesce(days_in_stage > {{ stuck_days }}, false)
    and stage in ('wanted', 'registered', 'signed', 'access', 'must_sign_again') as is_stuck,
    case
        when stage = 'left' then null
        when stage = 'wanted' then
            coalesce(
                nullif(concat_ws(': ', registration_message, nullif(error_types, '')), ''),
                case registration_state
                    when 'sent' then 'outcome of the registration'
                    when 'needs_linking' then 'approval of the link'
                    else 'registration'
                end
            )
        else nullif(concat_ws(
            ', ', outstanding, message,
            case
                when stage = 'registered' and outstanding is null then 'signature of the agreement'
                when stage = 'signed' then 'access'
                when stage = 'access' then 'history'
                when stage = 'loaded' and claims_waiting > 0 then 'submission of claims'
                when stage = 'loaded' then 'first case'
                when stage = 'first_case' then 'first payment'
            end
        ), '')
    end as outstanding,
    registration_state,
    onboarding_state,
    registered_at,
    signed_at,
    access_at,
    history_loaded_at,
    first_case_at,
    first_payment_at,
    claims_submitted,
    claims_waiting
from aged
