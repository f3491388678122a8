with control_totals as (
    select * from {{ source('ops', 'control_totals') }}
),

transactions as (
    select * from {{ ref('fct_transactions') }}
),

-- Read twice, and large: each reading takes only the columns that it needs.
fct_cases as not materialized (
    select * from {{ ref('fct_cases') }}
),

dim_clients as (
    select * from {{ ref('dim_clients') }}
),

revenue_stages as (
    select * from {{ ref('revenue_stages') }}
),

-- What the API stated at the latest check of each kind.
latest as (
    select resource, check_name, max(checked_at) as checked_at
    from control_totals
    group by resource, check_name
),

stated as (
    select
        case when totals.scope = 'all' then 'all' else 'client' end as scope,
        case when totals.scope <> 'all' then totals.scope end as creditor_id,
        totals.resource,
        case
            when totals.scope <> 'all' then totals.check_name
            when totals.bucket = 'all' then totals.check_name
            else totals.bucket
        end as stage,
        totals.unit,
        totals.api_value,
        totals.warehouse_value,
        totals.verdict,
        totals.detail,
        totals.checked_at
    from control_totals as totals
    inner join latest
        on latest.resource = totals.resource
        and latest.check_name = totals.check_name
        and latest.checked_at = totals.checked_at
),

-- Our own figures. Where no document says what a figure of the API counts, each reading that makes sense is a candidate.
stages as (
    select
        revenue_stages.revenue_stage,
        count(transactions.transaction_id) as rows_found,
        {{ money_sum('transactions.referral_fee_usd') }} as fee_usd
    from revenue_stages
    left join transactions on transactions.revenue_stage = revenue_stages.revenue_stage
    group by revenue_stages.revenue_stage
),

cases as (
    select
        count(*) as total,
        count(*) filter (where lifecycle_group = 'active') as active,
        count(*) filter (where lifecycle_group = 'paused') as paused,
        count(*) filter (where lifecycle_group = 'closed') as closed,
        count(*) filter (where lifecycle_group = 'merged') as merged,
        count(*) filter (where lifecycle_group in ('pending', 'unknown')) as pending
    from fct_cases
),

clients as (
    select
        count(*) as total,
        count(*) filter (where is_attributed) as attributed,
        count(*) filter (where onboarding_done) as onboarded,
        count(*) filter (where not onboarding_done) as pending
    from dim_clients
    where is_live
),

client_cases as (
    select
        cases.creditor_id,
        count(*) as total,
        count(*) filter (where cases.created_at <= clients.verified_at) as until,
        count(*) filter (where cases.lifecycle_group = 'closed') as closed,
        count(*) filter (where cases.lifecycle_group = 'merged') as merged
    from fct_cases as cases
    inner join dim_clients as clients on clients.creditor_id = cases.creditor_id
    group by cases.creditor_id
),

client_fees as (
    select
        creditor_id,
        {{ money_sum('referral_fee_usd') }} as every_fee,
        {{ money_sum('referral_fee_usd', "revenue_stage <> 'Disputed'") }} as undisputed,
        {{ money_sum('referral_fee_usd', 'not coalesce(is_estimate, true)') }} as final,
        {{ money_sum('referral_fee_recognized_usd') }} as recognized,
        {{ money_sum('referral_fee_usd', "revenue_stage = 'Paid'") }} as paid
    from transactions
    group by creditor_id
),

live_clients as (
    select
        clients.creditor_id,
        coalesce(client_cases.total, 0) as cases_total,
        coalesce(client_cases.until, 0) as cases_until,
        coalesce(client_cases.closed, 0) as cases_closed,
        coalesce(client_cases.merged, 0) as cases_merged,
        coalesce(client_fees.every_fee, 0) as every_fee,
        coalesce(client_fees.undisputed, 0) as undisputed,
        coalesce(client_fees.final, 0) as final,
        coalesce(client_fees.recognized, 0) as recognized,
        coalesce(client_fees.paid, 0) as paid
    from dim_clients as clients
    left join client_cases on client_cases.creditor_id = clients.creditor_id
    left join client_fees on client_fees.creditor_id = clients.creditor_id
    where clients.is_live
),

candidates as (
    select 'all' as scope, cast(null as varchar) as creditor_id, 'transactions' as resource, revenue_stage as stage,
        'count' as unit, 1 as preference, cast(null as varchar) as reading, cast(rows_found as decimal(28, 4)) as figure
    from stages
    union all
    select 'all', null, 'transactions', revenue_stage, 'usd', 1, null, fee_usd from stages
    union all
    select 'all', null, 'transactions', 'rows', 'count', 1, null, sum(rows_found) from stages
    union all
    select 'all', null, 'transactions', 'debitura_revenue', 'usd', 1, null, {{ money_sum('debitura_revenue_usd') }}
    from transactions
    {%- for stage, preference, reading, figure in [
        ('rows', 1, none, 'total'), ('total', 1, 'all cases', 'total'), ('total', 2, 'all but merged', 'total - merged'),
        ('active', 1, none, 'active'), ('paused', 1, none, 'paused'),
        ('closed', 1, 'Closed', 'closed'), ('closed', 2, 'Closed and Merged', 'closed + merged'),
        ('pending', 1, 'every other open state', 'pending'), ('pending', 2, 'every other state, Merged too', 'pending + merged')
    ] %}
    union all
    select 'all', null, 'cases', '{{ stage }}', 'count', {{ preference }},
        {{ "'" ~ reading ~ "'" if reading else 'null' }}, {{ figure }}
    from cases
    {%- endfor %}
    {%- for stage, figure in [
        ('rows', 'total'), ('total', 'total'), ('attributed', 'attributed'), ('onboarding_complete', 'onboarded'), ('onboarding_pending', 'pending')
    ] %}
    union all
    select 'all', null, 'clients', '{{ stage }}', 'count', 1, null, {{ figure }} from clients
    {%- endfor %}
    {%- for stage, unit, preference, reading, figure in [
        ('cases_total', 'count', 1, 'all cases', 'cases_total'),
        ('cases_total', 'count', 2, 'cases known when the client was read', 'cases_until'),
        ('cases_closed', 'count', 1, 'Closed', 'cases_closed'),
        ('cases_closed', 'count', 2, 'Closed and Merged', 'cases_closed + cases_merged'),
        ('earnings_usd', 'usd', 1, 'all fees', 'every_fee'), ('earnings_usd', 'usd', 2, 'fees without disputed ones', 'undisputed'),
        ('earnings_usd', 'usd', 3, 'final fees', 'final'), ('earnings_usd', 'usd', 4, 'recognized fees', 'recognized'),
        ('earnings_usd', 'usd', 5, 'fees paid out', 'paid')
    ] %}
    union all
    select 'client', creditor_id, 'clients', '{{ stage }}', '{{ unit }}', {{ preference }}, '{{ reading }}', {{ figure }}
    from live_clients
    {%- endfor %}
),

beside as (
    select
        candidates.*,
        stated.api_value,
        stated.verdict as checked_verdict,
        stated.checked_at,
        stated.detail,
        -- Which sums are equal is decided once, after the merge: the API may round what it adds up.
        candidates.figure = stated.api_value
        or (stated.verdict = 'equal' and candidates.figure = stated.warehouse_value) as fits
    from candidates
    left join stated
        on stated.scope = candidates.scope
        and coalesce(stated.creditor_id, '') = coalesce(candidates.creditor_id, '')
        and stated.resource = candidates.resource
        and stated.stage = candidates.stage
        and stated.unit = candidates.unit
),

-- How often a reading meets a figure that says something: for most clients without payments, every reading gives 0.
counted as (
    select
        beside.*,
        count(*) filter (where fits and api_value <> 0) over (partition by scope, resource, stage, unit, preference)
            as times_fitting
    from beside
),

-- The candidate that equals the API's figure, the usual one of several; where none does, the reading that fits most clients.
ranked as (
    select
        counted.*,
        row_number() over (
            partition by scope, creditor_id, resource, stage, unit
            order by case when fits then 0 else 1 end, times_fitting desc, preference
        ) as place
    from counted
),

judged as (
    select
        ranked.*,
        case
            -- The API has no such stage: none of ours is right, once any total of transactions was compared.
            when stage = 'Unclassified' and figure = 0
                and exists (select 1 from stated where stated.resource = 'transactions') then 'equal'
            when api_value is null then 'unproven'
            when fits then 'equal'
            when checked_verdict = 'unproven' then 'unproven'
            else 'differs'
        end as verdict
    from ranked
    where place = 1
),

totals as (
    select
        scope,
        creditor_id,
        resource,
        stage,
        cast(max(api_value) filter (where unit = 'count') as bigint) as api_count,
        cast(max(figure) filter (where unit = 'count') as bigint) as warehouse_count,
        cast(max(figure - api_value) filter (where unit = 'count') as bigint) as count_difference,
        cast(max(api_value) filter (where unit = 'usd') as decimal(28, 4)) as api_usd,
        cast(max(figure) filter (where unit = 'usd') as decimal(28, 4)) as warehouse_usd,
        cast(max(figure - api_value) filter (where unit = 'usd') as decimal(28, 4)) as usd_difference,
        case
            when count(*) filter (where verdict = 'differs') > 0 then 'differs'
            when count(*) filter (where verdict = 'unproven') > 0 then 'unproven'
            else 'equal'
        end as verdict,
        max(reading collate "C") as reading,
        max(checked_at) as checked_at,
        max(detail collate "C") as detail
    from judged
    group by scope, creditor_id, resource, stage
)

select
    totals.scope,
    totals.creditor_id,
    clients.external_tenant_id,
    clients.company_name,
    totals.resource,
    totals.stage,
    totals.api_count,
    totals.warehouse_count,
    totals.count_difference,
    totals.api_usd,
    totals.warehouse_usd,
    totals.usd_difference,
    totals.verdict,
    totals.reading,
    totals.checked_at,
    totals.detail
from totals
left join dim_clients as clients on clients.creditor_id = totals.creditor_id
