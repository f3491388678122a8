{{ config(severity='warn') }}
-- What is recorded of estimates is what raw holds now; and their fees in their own currencies are those of the first record, with
-- every change since. So the drift of the waterfall is one of exchange rates alone. Nothing is compared before the first record.
with totals as (
    select * from {{ source('ops', 'estimate_totals') }}
),

transactions as (
    select * from {{ ref('stg_debitura__transactions') }} where deleted_at is null and coalesce(is_estimate, true)
),

changes as (
    select * from {{ ref('fct_stage_changes') }}
),

modes as (
    select * from {{ ref('int_invoicing_modes') }}
),

stages as (
    select * from {{ ref('int_revenue_stages') }}
),

clock as (
    select transactions_first_load_at from {{ ref('int_clock') }}
),

first_record as (
    select
        case when min(totals.valid_from) < max(clock.transactions_first_load_at)
            then max(clock.transactions_first_load_at) else min(totals.valid_from) end as first_at
    from totals
    cross join clock
),

ends as (
    select first_at as ends_at, 1 as sign from first_record where first_at is not null
    union all
    select cast('9999-01-01 00:00:00+00' as timestamptz), -1 from first_record where first_at is not null
),

recorded as (
    select
        coalesce(stages.revenue_stage, 'Unclassified') as revenue_stage,
        totals.earnings_currency as currency,
        sum(totals.transaction_count * ends.sign) as transaction_count,
        sum(totals.referral_fee * ends.sign) as referral_fee
    from ends
    inner join totals on totals.valid_from <= ends.ends_at and (totals.valid_to is null or totals.valid_to > ends.ends_at)
    inner join modes on modes.valid_from <= ends.ends_at and modes.valid_to > ends.ends_at
    left join stages
        on {{ stage_join('stages', 'totals', 'modes.invoicing_trigger_mode') }}
    group by 1, 2
),

legs as (
    select
        changes.to_stage as revenue_stage,
        {{ status_key('changes.to_earnings_currency') }} as currency,
        1 as transaction_count,
        coalesce(changes.to_referral_fee, 0) as referral_fee
    from changes
    inner join first_record on changes.not_after > first_record.first_at
    where changes.to_is_estimate
    union all
    select
        changes.from_stage,
        {{ status_key('changes.from_earnings_currency') }},
        -1,
        coalesce(changes.from_referral_fee, 0) * -1
    from changes
    inner join first_record on changes.not_after > first_record.first_at
    where changes.from_is_estimate
),

followed as (
    select * from recorded
    union all
    select * from legs
),

now_recorded as (
    select
        coalesce(sum(transaction_count), 0) as transaction_count,
        coalesce(sum(referral_fee), 0) as referral_fee,
        coalesce(sum(referral_fee_usd), 0) as referral_fee_usd
    from totals
    where valid_to is null
),

now_there as (
    select
        count(*) as transaction_count,
        coalesce(sum(referral_fee), 0) as referral_fee,
        coalesce(sum(referral_fee_usd), 0) as referral_fee_usd
    from transactions
)

select revenue_stage, currency, sum(transaction_count) as transaction_count, sum(referral_fee) as amount
from followed
group by 1, 2
having sum(transaction_count) <> 0 or sum(referral_fee) <> 0
union all
select
    'all',
    'now',
    now_recorded.transaction_count - now_there.transaction_count,
    now_recorded.referral_fee_usd - now_there.referral_fee_usd
from now_recorded
cross join now_there
cross join first_record
where first_record.first_at is not null
    and (
        now_recorded.transaction_count <> now_there.transaction_count
        or now_recorded.referral_fee <> now_there.referral_fee
        or now_recorded.referral_fee_usd <> now_there.referral_fee_usd
    )
