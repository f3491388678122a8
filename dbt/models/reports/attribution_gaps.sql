{%- set rate_gap = '(transactions.fee_pct - cast(cases.expected_referral_rate_pct as decimal(28, 6)))' %}
{%- set unpaid_usd = "case when revenue_stage = 'Paid' then 0 else referral_fee_usd end" %}
{%- set paid_usd = "case when revenue_stage = 'Paid' then referral_fee_usd else 0 end" %}

with clock as (
    select * from {{ ref('int_clock') }}
),

transactions as (
    select * from {{ ref('fct_transactions') }}
),

cases as (
    select * from {{ ref('fct_cases') }}
),

gone_cases as (
    select case_id, deleted_at from {{ ref('stg_debitura__cases') }} where deleted_at is not null
),

clients as (
    select * from {{ ref('dim_clients') }}
),

advice as (
    select finding, nullif(revenue_stage, '') as revenue_stage, what_to_do from {{ ref('attribution_findings') }}
),

-- What an amount in a currency is worth in USD, by the transactions in that currency. A rate beyond a million is an error.
implied_rates as (
    select earnings_currency as currency, {{ div('sum(debitura_revenue_usd)', 'sum(debitura_revenue)', 8) }} as usd_rate
    from transactions
    where debitura_revenue > 0 and debitura_revenue_usd > 0 and earnings_currency <> 'USD'
    group by earnings_currency
),

rates as (
    select currency, cast(usd_rate as decimal(20, 8)) as usd_rate from implied_rates where usd_rate < 1000000
    union all
    select 'USD', cast(1 as decimal(20, 8))
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

-- What the transactions of an attributed client's case add up to, in the case's currency; amounts in others are not converted.
case_payments as (
    select
        transactions.case_id,
        sum(transactions.payment_amount) as paid_amount,
        count(*) filter (
            where transactions.payment_amount is null or cases.currency is null or transactions.payment_currency <> cases.currency
            or transactions.payment_currency is null
        ) as incomparable,
        {{ div(
            money_sum(
                'transactions.referral_fee',
                'earnings_currency = payment_currency and payment_amount > 0 and referral_fee is not null and ' ~ is_expected()
            ),
            money_sum(
                'transactions.payment_amount',
                'earnings_currency = payment_currency and payment_amount > 0 and referral_fee is not null and ' ~ is_expected()
            ), 6
        ) }} as fee_share
    from transactions
    inner join cases on cases.case_id = transactions.case_id
    where cases.attribution = 'attributed'
    group by transactions.case_id
),

-- Each case is in question for one reason at most.
questioned_cases as (
    select
        cases.*,
        case_payments.fee_share as own_fee_share,
        coalesce(case_payments.paid_amount, 0) as paid_amount,
        case
            when cases.is_open and cases.client_record = 'archived' then 'open_of_archived'
            when cases.attribution <> 'attributed' or cases.can_earn = 'no' then 'none'
            when cases.outcome = 'recovered' and cases.transaction_count = 0 then 'no_transaction'
            when cases.client_record = 'unknown' or cases.outcome in ('merged', 'rejected', 'system')
                or (cases.client_record = 'archived' and not {{ ended_while_linked('cases.finished_at', 'clients.deleted_at') }})
                or coalesce(cases.expected_referral_rate_pct, 1) = 0
                or (coalesce({{ utc_date('cases.created_at') }} < {{ utc_date('clients.linked_at') }}, false)
                    and not {{ is_implausible('cases.created_at') }} and not {{ is_implausible('clients.linked_at') }}) then 'none'
            when coalesce(case_payments.incomparable, 0) = 0 and cases.recovered_amount > 0
                and cases.recovered_amount - coalesce(case_payments.paid_amount, 0) > {{ var('recovered_tolerance') }}
                then 'more_recovered'
            else 'none'
        end as reason
    from cases
    left join clients on clients.creditor_id = cases.creditor_id
    left join case_payments on case_payments.case_id = cases.case_id
    where cases.is_open or cases.recovered_amount > 0 or cases.outcome = 'recovered'
),

-- Every case in question with the fee that its amounts would bring at these rates; null where either is unknown, or where
-- the share is none: less than nothing, or more than the payment.
rated_cases as (
    select
        questioned_cases.*,
        cast(rates.usd_rate as decimal(14, 8)) as usd_rate,
        case
            when coalesce(questioned_cases.own_fee_share, client_shares.fee_share, common_share.fee_share) between 0 and 1
                then cast(
                    coalesce(questioned_cases.own_fee_share, client_shares.fee_share, common_share.fee_share) as decimal(7, 6)
                )
        end as fee_share
    from questioned_cases
    cross join common_share
    left join rates on rates.currency = questioned_cases.currency
    left join client_shares on client_shares.creditor_id = questioned_cases.creditor_id
    where questioned_cases.reason <> 'none'
),

valued_cases as (
    select
        rated_cases.*,
        case when recovered_amount > 0 then
            cast(cast(recovered_amount - paid_amount as decimal(24, 4)) * usd_rate as decimal(31, 6)) * fee_share
        end as missing_fee_usd,
        cast(cast(remainder as decimal(24, 4)) * usd_rate as decimal(31, 6)) * fee_share as open_fee_usd
    from rated_cases
),

paid_without_transaction as (
    select
        'closed_paid_without_transaction' as finding,
        case_id as subject,
        missing_fee_usd as usd_at_stake,
        0 as paid_usd,
        case when not {{ is_implausible('finished_at') }} then finished_at end as since,
        creditor_id,
        company_name,
        case_id,
        cast(null as varchar) as transaction_id,
        cast(null as varchar) as revenue_stage,
        cast(1 as bigint) as row_count,
        case_id as rests_on,
        'Closed as ' || close_code || case
            when recovered_amount > 0 then ', recovered ' || {{ two_decimals('recovered_amount') }} || coalesce(' ' || currency, '')
            else ', although nothing shows as recovered'
        end || ', no transaction' as detail
    from valued_cases
    where reason = 'no_transaction'
),

more_recovered as (
    select
        'recovered_more_than_paid' as finding,
        case_id as subject,
        missing_fee_usd as usd_at_stake,
        0 as paid_usd,
        coalesce(case when not {{ is_implausible('finished_at') }} then finished_at end, changed_at) as since,
        creditor_id,
        company_name,
        case_id,
        cast(null as varchar) as transaction_id,
        cast(null as varchar) as revenue_stage,
        1 as row_count,
        case_id as rests_on,
        'Recovered ' || {{ two_decimals('recovered_amount') }} || coalesce(' ' || currency, '')
        || ', but the transactions add up to ' || {{ two_decimals('paid_amount') }} || coalesce(' ' || currency, '') as detail
    from valued_cases
    where reason = 'more_recovered'
),

of_unknown_case as (
    select
        'transaction_of_unknown_case' as finding,
        transactions.transaction_id as subject,
        {{ unpaid_usd }} as usd_at_stake,
        {{ paid_usd }} as paid_usd,
        coalesce(greatest(gone_cases.deleted_at, transactions.first_seen_at), transactions.first_seen_at) as since,
        transactions.creditor_id,
        transactions.company_name,
        transactions.case_id,
        transactions.transaction_id,
        transactions.revenue_stage,
        1 as row_count,
        transactions.transaction_id as rests_on,
        case when transactions.case_record = 'deleted' then 'The case is no longer listed' else 'The case was never listed' end
            as detail
    from transactions
    left join gone_cases on gone_cases.case_id = transactions.case_id
    where transactions.case_record <> 'live'
),

-- One finding per client, not per payment: it is one question to ask. A payment without a client stands alone.
of_unknown_client_ranked as (
    select
        *,
        coalesce(nullif(creditor_id, 'unknown'), transaction_id) as asked_about,
        {{ unpaid_usd }} as unpaid_usd,
        {{ paid_usd }} as paid_usd,
        row_number() over (
            partition by coalesce(nullif(creditor_id, 'unknown'), transaction_id)
            order by
                case when revenue_stage = 'Paid' then 1 else 0 end, referral_fee_usd desc nulls last, transaction_id collate "C"
        ) as place
    from transactions
    where client_record = 'unknown'
),

of_unknown_client as (
    select
        'transaction_of_unknown_client' as finding,
        asked_about as subject,
        sum(unpaid_usd) as usd_at_stake,
        sum(paid_usd) as paid_usd,
        min(first_seen_at) as since,
        max(creditor_id collate "C") as creditor_id,
        max(company_name collate "C") as company_name,
        cast(null as varchar) as case_id,
        cast(null as varchar) as transaction_id,
        cast(null as varchar) as revenue_stage,
        count(*) as row_count,
        string_agg(case when place <= 20 then transaction_id end, ',' order by place) as rests_on,
        'The client ' || coalesce(max(company_name collate "C") || ' ', '') || 'was never listed; ' || cast(count(*) as varchar)
        || case when count(*) = 1 then ' payment' else ' payments' end as detail
    from of_unknown_client_ranked
    group by asked_about
),

before_link as (
    select
        'transaction_before_link' as finding,
        transactions.transaction_id as subject,
        {{ unpaid_usd }} as usd_at_stake,
        {{ paid_usd }} as paid_usd,
        transactions.occurred_at as since,
        transactions.creditor_id,
        transactions.company_name,
        transactions.case_id,
        transactions.transaction_id,
        transactions.revenue_stage,
        1 as row_count,
        transactions.transaction_id as rests_on,
        'Collected on ' || {{ day_text(utc_date('transactions.occurred_at')) }}
        || ', linked on ' || {{ day_text(utc_date('clients.linked_at')) }} as detail
    from transactions
    inner join clients on clients.creditor_id = transactions.creditor_id
    where {{ utc_date('transactions.occurred_at') }} < {{ utc_date('clients.linked_at') }}
        and not {{ is_implausible('transactions.occurred_at') }} and not {{ is_implausible('clients.linked_at') }}
),

-- The difference between the two rates, of Debitura's revenue; never more than all of it. Too little is missing whatever the stage,
-- too much is at stake until it is paid.
rates_apart as (
    select
        transactions.*,
        cases.expected_referral_rate_pct,
        {{ rate_gap }} < 0 or transactions.revenue_stage <> 'Paid' as is_at_stake,
        cast(transactions.debitura_revenue_usd as decimal(24, 4))
        * cast(least(abs({{ rate_gap }}), 100) as decimal(9, 6)) * 0.01 as usd
    from transactions
    inner join cases on cases.case_id = transactions.case_id
    where abs({{ rate_gap }}) > 0.01 and transactions.debitura_revenue > 0
),

rate_differs as (
    select
        'fee_rate_differs' as finding,
        transaction_id as subject,
        case when is_at_stake then usd else 0 end as usd_at_stake,
        case when is_at_stake then 0 else usd end as paid_usd,
        first_seen_at as since,
        creditor_id,
        company_name,
        case_id,
        transaction_id,
        revenue_stage,
        1 as row_count,
        transaction_id as rests_on,
        'Rate ' || {{ two_decimals('fee_pct') }} || ' % where the case expects '
        || {{ two_decimals('expected_referral_rate_pct') }} || ' %' as detail
    from rates_apart
),

no_fee as (
    select
        'zero_fee' as finding,
        transaction_id as subject,
        cast(debitura_revenue_usd as decimal(24, 4)) * cast(least(fee_pct, 100) as decimal(9, 6)) * 0.01 as usd_at_stake,
        0 as paid_usd,
        first_seen_at as since,
        creditor_id,
        company_name,
        case_id,
        transaction_id,
        revenue_stage,
        1 as row_count,
        transaction_id as rests_on,
        'Fee 0 on revenue of ' || {{ two_decimals('debitura_revenue') }} || coalesce(' ' || earnings_currency, '')
        || ' at ' || {{ two_decimals('fee_pct') }} || ' %' as detail
    from transactions
    where referral_fee = 0 and fee_pct > 0 and debitura_revenue > 0
),

-- One finding per stage and due date: it is one question to ask. A day of grace, for what is noted the day after.
overdue_ranked as (
    select
        transactions.*,
        row_number() over (
            partition by transactions.revenue_stage, transactions.next_due_on
            order by transactions.referral_fee_usd desc nulls last, transactions.transaction_id collate "C"
        ) as place
    from transactions
    cross join clock
    where transactions.due_class = 'overdue' and transactions.next_due_on + 1 < clock.as_of_day
),

overdue as (
    select
        'stage_overdue' as finding,
        revenue_stage || ' ' || cast(next_due_on as varchar) as subject,
        sum(referral_fee_usd) as usd_at_stake,
        0 as paid_usd,
        cast(next_due_on as timestamp) at time zone 'UTC' as since,
        cast(null as varchar) as creditor_id,
        cast(null as varchar) as company_name,
        cast(null as varchar) as case_id,
        cast(null as varchar) as transaction_id,
        revenue_stage,
        count(*) as row_count,
        string_agg(case when place <= 20 then transaction_id end, ',' order by place) as rests_on,
        max(next_step collate "C") || ': ' || cast(count(*) as varchar)
        || case when count(*) = 1 then ' fee was' else ' fees were' end
        || ' due on ' || {{ day_text('next_due_on') }} as detail
    from overdue_ranked
    group by revenue_stage, next_due_on
),

-- The term of these began before the first load, so they cannot be shown to be late; their age says that they may be.
doubtful_ranked as (
    select
        *,
        row_number() over (
            partition by revenue_stage order by referral_fee_usd desc nulls last, transaction_id collate "C"
        ) as place
    from transactions
    where due_class = 'not_before' and age_days > {{ var('doubtful_age_days') }} and not {{ is_implausible('occurred_at') }}
),

doubtful as (
    select
        'stage_may_be_overdue' as finding,
        revenue_stage as subject,
        sum(referral_fee_usd) as usd_at_stake,
        0 as paid_usd,
        min(stage_seen_at) as since,
        cast(null as varchar) as creditor_id,
        cast(null as varchar) as company_name,
        cast(null as varchar) as case_id,
        cast(null as varchar) as transaction_id,
        revenue_stage,
        count(*) as row_count,
        string_agg(case when place <= 20 then transaction_id end, ',' order by place) as rests_on,
        max(next_step collate "C") || ': ' || cast(count(*) as varchar)
        || case when count(*) = 1 then ' fee was' else ' fees were' end
        || ' in this stage on the first load already; the oldest was collected ' || cast(max(age_days) as varchar) || ' days ago'
            as detail
    from doubtful_ranked
    group by revenue_stage
),

open_of_archived as (
    select
        cases.*,
        clients.deleted_at as archived_at,
        row_number() over (
            partition by cases.creditor_id order by cases.open_fee_usd desc nulls last, cases.case_id collate "C"
        ) as place
    from valued_cases as cases
    inner join clients on clients.creditor_id = cases.creditor_id
    where cases.reason = 'open_of_archived'
),

archived_with_open_cases as (
    select
        'archived_client_open_cases' as finding,
        creditor_id as subject,
        sum(open_fee_usd) as usd_at_stake,
        0 as paid_usd,
        max(archived_at) as since,
        creditor_id,
        max(company_name collate "C") as company_name,
        cast(null as varchar) as case_id,
        cast(null as varchar) as transaction_id,
        cast(null as varchar) as revenue_stage,
        count(*) as row_count,
        string_agg(case when place <= 20 then case_id end, ',' order by place) as rests_on,
        'Archived with ' || cast(count(*) as varchar) || case when count(*) = 1 then ' open case, ' else ' open cases, ' end
        || cast(count(open_fee_usd) as varchar) || ' of them valued' as detail
    from open_of_archived
    group by creditor_id
),

findings as (
    select * from paid_without_transaction
    {%- for kind in [
        'more_recovered', 'of_unknown_case', 'of_unknown_client', 'before_link', 'rate_differs', 'no_fee', 'overdue', 'doubtful',
        'archived_with_open_cases'
    ] %}
    union all
    select * from {{ kind }}
    {%- endfor %}
),

-- What is worth less than a cent is no finding. What is all paid comes last: nothing of it is missing.
worth_asking as (
    select
        findings.*,
        case when abs(usd_at_stake) >= 0.005 then 1 when usd_at_stake is null then 2 else 3 end as rank_class
    from findings
    where usd_at_stake is null or abs(usd_at_stake) >= 0.005 or abs(paid_usd) >= 0.005
)

select
    findings.finding || ' ' || findings.subject as finding_id,
    row_number() over (
        order by
            findings.rank_class, findings.usd_at_stake desc, findings.paid_usd desc,
            findings.finding collate "C", findings.subject collate "C"
    ) as priority,
    findings.finding,
    cast(findings.usd_at_stake as decimal(28, 4)) as usd_at_stake,
    cast(coalesce(findings.paid_usd, 0) as decimal(28, 4)) as paid_usd,
    findings.since,
    cast(clock.as_of_day - {{ utc_date('findings.since') }} as integer) as age_days,
    findings.creditor_id,
    clients.external_tenant_id,
    coalesce(clients.company_name, findings.company_name) as company_name,
    findings.case_id,
    findings.transaction_id,
    findings.revenue_stage,
    findings.row_count,
    findings.rests_on,
    findings.detail,
    advice.what_to_do
from worth_asking as findings
cross join clock
left join clients on clients.creditor_id = findings.creditor_id
left join advice
    on advice.finding = findings.finding
    and coalesce(advice.revenue_stage, findings.revenue_stage, '') = coalesce(findings.revenue_stage, '')
