with clock as (
    select
        as_of_day as today,
        cast(date_trunc('month', as_of_day) as date) as month,
        case when is_transactions_read then {{ utc_date('transactions_first_load_at') }} end as first_load_on
    from {{ ref('int_clock') }}
    where as_of is not null
),

transactions as (
    select * from {{ ref('fct_transactions') }}
),

periods as (
    select 1 as period_order, 'today' as period, today as from_on, today as to_on from clock
    union all
    select 2, 'yesterday', today - 1, today - 1 from clock
    union all
    select 3, 'month_to_date', month, today from clock
    union all
    -- As many days of the last month, at most all of it.
    select
        4,
        'last_month_to_date',
        cast(month - interval '1 month' as date),
        least(cast(month - interval '1 month' as date) + cast(today - month as integer), month - 1)
    from clock
    union all
    select 5, 'last_month', cast(month - interval '1 month' as date), month - 1 from clock
    union all
    select
        6,
        'same_month_last_year',
        cast(month - interval '12 months' as date),
        cast(month - interval '11 months' as date) - 1
    from clock
    union all
    select 7, 'trailing_12_months', cast(today - interval '12 months' as date) + 1, today from clock
),

bases as (
    select 1 as basis_order, 'collected' as basis
    union all
    select 2, 'recognized'
    union all
    select 3, 'invoiced'
    union all
    select 4, 'paid'
),

-- Each basis takes the transactions that are in its state now, as revenue_by_month does.
dated as (
    select
        'collected' as basis,
        {{ utc_date('occurred_at') }} as day,
        revenue_stage,
        referral_fee_usd,
        {{ is_moving() }} as is_estimate
    from transactions
    union all
    select 'recognized', {{ utc_date('recognized_seen_at') }}, revenue_stage, referral_fee_recognized_usd, {{ is_moving() }}
    from transactions
    where is_recognized
    union all
    select 'invoiced', {{ utc_date('invoiced_seen_at') }}, revenue_stage, referral_fee_usd, {{ is_moving() }}
    from transactions
    where lower(referral_invoicing_status) in ('invoiced', 'paid', 'disputed')
    union all
    select 'paid', {{ utc_date('paid_seen_at') }}, revenue_stage, referral_fee_usd, {{ is_moving() }}
    from transactions
    where lower(referral_invoicing_status) = 'paid'
),

-- By day first: a period is then a few hundred rows, and no transaction is met seven times.
by_day as (
    select
        basis,
        day,
        count(*) filter (where {{ is_expected() }}) as transaction_count,
        {{ money_sum('referral_fee_usd', is_expected()) }} as referral_fee_usd,
        {{ money_sum('referral_fee_usd', is_expected() ~ ' and is_estimate') }} as of_which_estimate_usd,
        {{ money_sum('referral_fee_usd', "revenue_stage = 'Disputed'") }} as disputed_usd
    from dated
    where day is not null
    group by basis, day
)

select
    periods.period,
    periods.period_order,
    bases.basis,
    bases.basis_order,
    periods.from_on,
    periods.to_on,
    cast(coalesce(sum(by_day.transaction_count), 0) as bigint) as transaction_count,
    cast(coalesce(sum(by_day.referral_fee_usd), 0) as decimal(28, 4)) as referral_fee_usd,
    cast(coalesce(sum(by_day.of_which_estimate_usd), 0) as decimal(28, 4)) as of_which_estimate_usd,
    cast(coalesce(sum(by_day.disputed_usd), 0) as decimal(28, 4)) as disputed_usd,
    clock.first_load_on is not null and (bases.basis = 'collected' or periods.from_on > clock.first_load_on) as is_complete
from periods
cross join bases
cross join clock
left join by_day on by_day.basis = bases.basis and by_day.day between periods.from_on and periods.to_on
group by
    periods.period, periods.period_order, bases.basis, bases.basis_order, periods.from_on, periods.to_on, clock.first_load_on
