{{ config(post_hook="{{ create_as_of('transactions') }}") }}
-- depends_on: {{ ref("int_invoicing_modes") }}
-- depends_on: {{ source("ops", "estimate_totals") }}

with clock as (
    select * from {{ ref('int_clock') }}
),

transactions as (
    select * from {{ ref('stg_debitura__transactions') }} where deleted_at is null
),

-- Read twice, and large: each reading takes only the columns and rows that it needs.
transactions_history as not materialized (
    select * from {{ ref('stg_debitura__transactions_history') }}
),

stages as (
    select * from {{ ref('int_revenue_stages') }}
),

stage_changes as (
    select * from {{ ref('fct_stage_changes') }}
),

cases as (
    select case_id, debtor_country, collection_partner, engagement_phase, deleted_at is null as is_live
    from {{ ref('stg_debitura__cases') }}
),

clients as (
    select creditor_id, client_record from {{ ref('dim_clients') }}
),

superseded as (
    select transaction_id from transactions_history where valid_to is not null
),

-- A row whose only version stands has been as it is since it was first seen; only the others need their versions read.
reached as (
    select
        transaction_id,
        min(valid_from) filter (where is_recognized) as recognized_at,
        min(valid_from) filter (where lower(referral_invoicing_status) in ('invoiced', 'paid', 'disputed')) as invoiced_at,
        min(valid_from) filter (where lower(referral_invoicing_status) = 'paid') as paid_at
    from transactions_history
    where transaction_id in (select superseded.transaction_id from superseded)
    group by transaction_id
),

stage_entries as (
    select transaction_id, max(not_after) as entered_at
    from stage_changes
    where to_stage is not null and from_stage is distinct from to_stage
    group by transaction_id
),

joined as (
    select
        transactions.*,
        clock.as_of_day,
        clock.transactions_first_load_at as first_load_at,
        coalesce(stages.revenue_stage, 'Unclassified') as revenue_stage,
        stages.revenue_stage_six,
        stages.revenue_stage_four,
        stages.next_step,
        clock.invoicing_trigger_mode,
        coalesce(transactions.is_estimate, true) as may_move,
        coalesce(stage_entries.entered_at, transactions.first_seen_at) as stage_seen_at,
        case when transactions.is_recognized
            then coalesce(reached.recognized_at, transactions.first_seen_at) end as recognized_at,
        case when lower(transactions.referral_invoicing_status) in ('invoiced', 'paid', 'disputed')
            then coalesce(reached.invoiced_at, transactions.first_seen_at) end as invoiced_at,
        case when lower(transactions.referral_invoicing_status) = 'paid'
            then coalesce(reached.paid_at, transactions.first_seen_at) end as reached_paid_at,
        {{ div(
            'case when transactions.referral_fee <> 0 then transactions.referral_fee_usd else transactions.debitura_revenue_usd end',
            'case when transactions.referral_fee <> 0 then transactions.referral_fee else transactions.debitura_revenue end', 10
        ) }} as implied_fx_rate,
        cast(
            cast({{ div('transactions.referral_fee', 'transactions.debitura_revenue', 6) }} as decimal(24, 6)) * 100
            as decimal(28, 6)
        ) as implied_fee_pct,
        cast(transactions.referral_fee_pct as decimal(28, 6)) as pct_as_stated,
        cast(cast(transactions.referral_fee_pct as decimal(28, 4)) * 100 as decimal(28, 6)) as pct_of_share,
        case when cases.is_live then 'live' when not cases.is_live then 'deleted' else 'unknown' end as case_record,
        coalesce(clients.client_record, 'unknown') as client_record,
        cases.debtor_country,
        cases.collection_partner,
        cases.engagement_phase
    from transactions
    cross join clock
    left join stages
        on {{ stage_join('stages', 'transactions', 'clock.invoicing_trigger_mode') }}
    left join reached on reached.transaction_id = transactions.transaction_id
    left join stage_entries on stage_entries.transaction_id = transactions.transaction_id
    left join cases on cases.case_id = transactions.case_id
    left join clients on clients.creditor_id = transactions.creditor_id
),

dated as (
    select joined.*, {{ utc_date('stage_seen_at') }} as stage_seen_day from joined
),

stepped as (
    select
        dated.*,
        case revenue_stage
            when 'ConfirmedPendingInvoice' then {{ next_invoice_day('stage_seen_day') }}
            when 'AwaitingCollectionPartnerPayment' then stage_seen_day + {{ var('collection_partner_terms_days') }}
            when 'AwaitingDebituraPayment'
                then {{ add_business_days('stage_seen_day', var('debitura_terms_business_days')) }}
        end as next_due_on
    from dated
),

scheduled as (
    select
        stepped.*,
        case revenue_stage
            -- What Debitura has not invoiced yet is due at the earliest a term of payment from today.
            when 'ConfirmedPendingInvoice' then greatest(next_due_on, as_of_day) + {{ var('collection_partner_terms_days') }}
            else next_due_on
        end as payment_due_on
    from stepped
)

select
    transaction_id,
    occurred_at,
    external_tenant_id,
    coalesce(creditor_id, 'unknown') as creditor_id,
    company_name,
    case_id,
    case_reference,
    debtor_key,
    debtor_name,
    case_amount,
    case_currency,
    payment_amount,
    payment_currency,
    paid_at,
    earnings_currency,
    debitura_revenue,
    debitura_revenue_usd,
    referral_fee_pct,
    referral_fee,
    referral_fee_usd,
    is_estimate,
    is_recognized,
    referral_fee_recognized_usd,
    commission_status,
    platform_invoicing_status,
    referral_invoicing_status,
    first_seen_at,
    changed_at,
    verified_at,
    revenue_stage,
    revenue_stage_six,
    revenue_stage_four,
    invoicing_trigger_mode,
    {{ is_expected() }} as is_expected_income,
    not may_move and revenue_stage not in ('Pending', 'Disputed', 'Unclassified') as is_final,
    coalesce(lower(commission_status) = 'credited', false)
    and revenue_stage in ('ReadyToInvoiceDebitura', 'AwaitingDebituraPayment', 'Paid') as is_clawback_risk,
    stage_seen_at,
    case when stage_seen_at > first_load_at then stage_seen_at end as stage_since,
    case when recognized_at > first_load_at then recognized_at end as recognized_seen_at,
    case when invoiced_at > first_load_at then invoiced_at end as invoiced_seen_at,
    case when reached_paid_at > first_load_at then reached_paid_at end as paid_seen_at,
    {{ utc_date('occurred_at') }} as occurred_on,
    {{ utc_month('occurred_at') }} as collected_month,
    cast(as_of_day - {{ utc_date('occurred_at') }} as integer) as age_days,
    cast(as_of_day - stage_seen_day as integer) as days_in_stage,
    cast(implied_fx_rate as decimal(28, 10)) as implied_fx_rate,
    implied_fee_pct,
    cast(
        case
            when implied_fee_pct <> 0
                and abs(pct_of_share - implied_fee_pct) < abs(pct_as_stated - implied_fee_pct) then pct_of_share
            when coalesce(implied_fee_pct, 0) = 0 and referral_fee_pct <= 1 then pct_of_share
            else pct_as_stated
        end as decimal(28, 6)
    ) as fee_pct,
    case_record,
    client_record,
    debtor_country,
    collection_partner,
    engagement_phase,
    next_step,
    next_due_on,
    payment_due_on,
    coalesce(next_due_on < as_of_day, false) as is_overdue,
    case
        when revenue_stage = 'Paid' then null
        when next_due_on is null then 'unknown'
        when next_due_on < as_of_day then 'overdue'
        when stage_seen_at > first_load_at then 'due'
        else 'not_before'
    end as due_class,
    case
        when revenue_stage = 'Paid' then null
        when payment_due_on is null then 'unknown'
        when payment_due_on < as_of_day then 'overdue'
        when next_due_on >= as_of_day and stage_seen_at > first_load_at then 'due'
        else 'not_before'
    end as payment_class
from scheduled
-- One client's rows lie side by side, which is what dashboards filter by.
order by coalesce(creditor_id, 'unknown'), occurred_at
