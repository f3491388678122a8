{%- set rate_gap = 'abs(transactions.fee_pct - cast(cases.expected_referral_rate_pct as decimal(28, 6)))' %}

with clock as (
    select * from {{ ref('int_clock') }}
),

transactions as (
    select * from {{ ref('fct_transactions') }}
),

cases as (
    select * from {{ ref('fct_cases') }}
),

clients as (
    select * from {{ ref('dim_clients') }}
),

advice as (
    select * from {{ ref('attribution_findings') }}
),

-- What an amount in a currency is worth in USD, by the transactions in that currency. A rate beyond a million is an error.
implied_rates as (
    select earnings_currency as currency, {{ div('sum(debitura_revenue_usd)', 'sum(debitura_revenue)', 8) }} as usd_rate
    from transactions
    where debitura_revenue > 0 and debitura_revenue_usd > 0
    group by earnings_currency
),

rates as (
    select currency, cast(usd_rate as decimal(20, 8)) as usd_rate from implied_rates where usd_rate < 1000000
),

-- What share of a payment becomes a fee: the client's own, else everyone's. Fee and payment in one currency only.
shares as (
    select
        creditor_id,
        earnings_currency as currency,
        {{ money_sum('referral_fee') }} as fee,
        {{ money_sum('payment_amount') }} as payment
    from transactions
    where earnings_currency = payment_currency and payment_amount > 0 and referral_fee is not null and {{ is_expected() }}
    group by creditor_id, earnings_currency
),

usd_shares as (
    select
        shares.creditor_id,
        sum(cast(cast(shares.fee as decimal(24, 4)) * cast(rates.usd_rate as decimal(14, 8)) as decimal(38, 4))) as fee_usd,
        sum(cast(cast(shares.payment as decimal(24, 4)) * cast(rates.usd_rate as decimal(14, 8)) as decimal(38, 4))) as payment_usd
    from shares
    inner join rates on rates.currency = shares.currency
    group by shares.creditor_id
),

client_shares as (
    select creditor_id, {{ div('fee_usd', 'payment_usd', 6) }} as fee_share from usd_shares
),

common_share as (
    select {{ div('sum(fee_usd)', 'sum(payment_usd)', 6) }} as fee_share from usd_shares
),

-- Every case in question with the fee that its amounts would bring at these rates; null where either is unknown, or where
-- the share is none: less than nothing, or more than the payment.
rated_cases as (
    select
        cases.*,
        cast(rates.usd_rate as decimal(14, 8)) as usd_rate,
        case when coalesce(client_shares.fee_share, common_share.fee_share) between 0 and 1
            then cast(coalesce(client_shares.fee_share, common_share.fee_share) as decimal(7, 6)) end as fee_share
    from cases
    cross join common_share
    left join rates on rates.currency = cases.currency
    left join client_shares on client_shares.creditor_id = cases.creditor_id
    where (cases.outcome = 'recovered' and cases.transaction_count = 0) or (cases.is_open and cases.client_record = 'archived')
),

valued_cases as (
    select
        rated_cases.*,
        cast(cast(recovered_amount as decimal(24, 4)) * usd_rate as decimal(31, 6)) * fee_share as recovered_fee_usd,
        cast(cast(remainder as decimal(24, 4)) * usd_rate as decimal(31, 6)) * fee_share as open_fee_usd
    from rated_cases
),

paid_without_transaction as (
    select
        'closed_paid_without_transaction' as finding,
        case_id as subject,
        recovered_fee_usd as usd_at_stake,
        finished_at as since,
        creditor_id,
        case_id,
        cast(null as varchar) as transaction_id,
        cast(1 as bigint) as row_count,
        case_id as rests_on,
        'Closed as ' || close_code || ', recovered ' || coalesce(cast(recovered_amount as varchar), 'an unknown amount')
        || ' ' || coalesce(currency, '') || ', no transaction' as detail
    from valued_cases
    where outcome = 'recovered' and transaction_count = 0 and attribution = 'attributed' and can_earn <> 'no'
),

of_unknown_case as (
    select
        'transaction_of_unknown_case' as finding,
        transaction_id as subject,
        referral_fee_usd as usd_at_stake,
        first_seen_at as since,
        creditor_id,
        case_id,
        transaction_id,
        1 as row_count,
        transaction_id as rests_on,
        case when case_record = 'deleted' then 'The case is no longer listed' else 'The case was never listed' end as detail
    from transactions
    where case_record <> 'live'
),

-- One finding per client, not per payment: it is one question to ask. A payment without a client stands alone.
of_unknown_client_ranked as (
    select
        *,
        coalesce(nullif(creditor_id, 'unknown'), transaction_id) as asked_about,
        row_number() over (
            partition by coalesce(nullif(creditor_id, 'unknown'), transaction_id)
            order by referral_fee_usd desc nulls last, transaction_id
        ) as place
    from transactions
    where client_record = 'unknown'
),

of_unknown_client as (
    select
        'transaction_of_unknown_client' as finding,
        asked_about as subject,
        sum(referral_fee_usd) as usd_at_stake,
        min(first_seen_at) as since,
        max(creditor_id) as creditor_id,
        cast(null as varchar) as case_id,
        cast(null as varchar) as transaction_id,
        count(*) as row_count,
        string_agg(case when place <= 20 then transaction_id end, ',' order by place) as rests_on,
        'The client ' || coalesce(max(company_name) || ' ', '') || 'was never listed; '
        || cast(count(*) as varchar) || ' payments' as detail
    from of_unknown_client_ranked
    group by asked_about
),

before_link as (
    select
        'transaction_before_link' as finding,
        transactions.transaction_id as subject,
        transactions.referral_fee_usd as usd_at_stake,
        transactions.occurred_at as since,
        transactions.creditor_id,
        transactions.case_id,
        transactions.transaction_id,
        1 as row_count,
        transactions.transaction_id as rests_on,
        'Paid on ' || cast({{ utc_date('transactions.occurred_at') }} as varchar)
        || ', linked on ' || cast({{ utc_date('clients.linked_at') }} as varchar) as detail
    from transactions
    inner join clients on clients.creditor_id = transactions.creditor_id
    where {{ utc_date('transactions.occurred_at') }} < {{ utc_date('clients.linked_at') }}
),

-- The difference between the two rates, of Debitura's revenue; never more than all of it.
rate_differs as (
    select
        'fee_rate_differs' as finding,
        transactions.transaction_id as subject,
        cast(transactions.debitura_revenue_usd as decimal(24, 4))
        * cast(least({{ rate_gap }}, 100) as decimal(9, 6)) * 0.01 as usd_at_stake,
        transactions.first_seen_at as since,
        transactions.creditor_id,
        transactions.case_id,
        transactions.transaction_id,
        1 as row_count,
        transactions.transaction_id as rests_on,
        'Rate ' || cast(transactions.fee_pct as varchar) || ' % where the case expects '
        || cast(cases.expected_referral_rate_pct as varchar) || ' %' as detail
    from transactions
    inner join cases on cases.case_id = transactions.case_id
    where {{ rate_gap }} > 0.01
        and transactions.debitura_revenue > 0
),

no_fee as (
    select
        'zero_fee' as finding,
        transaction_id as subject,
        cast(debitura_revenue_usd as decimal(24, 4)) * cast(least(fee_pct, 100) as decimal(9, 6)) * 0.01 as usd_at_stake,
        first_seen_at as since,
        creditor_id,
        case_id,
        transaction_id,
        1 as row_count,
        transaction_id as rests_on,
        'Fee 0 on revenue of ' || cast(debitura_revenue as varchar) || ' ' || coalesce(earnings_currency, '')
        || ' at ' || cast(fee_pct as varchar) || ' %' as detail
    from transactions
    where referral_fee = 0 and fee_pct > 0 and debitura_revenue > 0
),

overdue as (
    select
        'stage_overdue' as finding,
        transaction_id as subject,
        referral_fee_usd as usd_at_stake,
        cast(next_due_on as timestamp) at time zone 'UTC' as since,
        creditor_id,
        case_id,
        transaction_id,
        1 as row_count,
        transaction_id as rests_on,
        next_step || ': due by ' || cast(next_due_on as varchar) as detail
    from transactions
    where is_overdue
),

open_of_archived as (
    select
        cases.*,
        clients.deleted_at as archived_at,
        row_number() over (partition by cases.creditor_id order by cases.open_fee_usd desc nulls last, cases.case_id) as place
    from valued_cases as cases
    inner join clients on clients.creditor_id = cases.creditor_id
    where cases.is_open and cases.client_record = 'archived'
),

archived_with_open_cases as (
    select
        'archived_client_open_cases' as finding,
        creditor_id as subject,
        sum(open_fee_usd) as usd_at_stake,
        max(archived_at) as since,
        creditor_id,
        cast(null as varchar) as case_id,
        cast(null as varchar) as transaction_id,
        count(*) as row_count,
        string_agg(case when place <= 20 then case_id end, ',' order by place) as rests_on,
        'Archived with ' || cast(count(*) as varchar) || ' open cases, '
        || cast(count(open_fee_usd) as varchar) || ' of them valued' as detail
    from open_of_archived
    group by creditor_id
),

findings as (
    select * from paid_without_transaction
    {%- for kind in [
        'of_unknown_case', 'of_unknown_client', 'before_link', 'rate_differs', 'no_fee', 'overdue', 'archived_with_open_cases'
    ] %}
    union all
    select * from {{ kind }}
    {%- endfor %}
)

select
    findings.finding || ' ' || findings.subject as finding_id,
    row_number() over (order by findings.usd_at_stake desc nulls last, findings.finding, findings.subject) as priority,
    findings.finding,
    cast(findings.usd_at_stake as decimal(28, 4)) as usd_at_stake,
    findings.since,
    cast(clock.as_of_day - {{ utc_date('findings.since') }} as integer) as age_days,
    findings.creditor_id,
    clients.external_tenant_id,
    clients.company_name,
    findings.case_id,
    findings.transaction_id,
    findings.row_count,
    findings.rests_on,
    findings.detail,
    advice.what_to_do
from findings
cross join clock
left join clients on clients.creditor_id = findings.creditor_id
left join advice on advice.finding = findings.finding
