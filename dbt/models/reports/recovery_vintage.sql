{%- set share -%}
{{ div('cast(recovered_amount as decimal(28, 4))', 'cast(gross_amount as decimal(28, 4))', 6) }}
{%- endset -%}
with clock as (
    select {{ month_number('as_of_day') }} as this_month from {{ ref('int_clock') }} where as_of is not null
),

fct_cases as (
    select * from {{ ref('fct_cases') }}
),

transactions as (
    select case_id, payment_currency, payment_amount, occurred_at from {{ ref('fct_transactions') }}
),

cases as (
    select
        case_id,
        coalesce(currency, 'unknown') as currency,
        {{ month_number(utc_date('created_at')) }} as created_month,
        case when is_open or finished_at is null then null else {{ month_number(utc_date('finished_at')) }} end as finished_month,
        gross_amount,
        greatest(recovered_amount, 0) as recovered_amount
    from fct_cases
    where created_at is not null and recovered_amount is not null and outcome <> 'merged'
),

-- Payments in the case's own currency are dated.
dated as (
    select
        cases.currency,
        cases.created_month,
        cases.finished_month,
        {{ month_number(utc_date('transactions.occurred_at')) }} as month,
        sum(transactions.payment_amount) as amount
    from transactions
    inner join cases on cases.case_id = transactions.case_id and cases.currency = transactions.payment_currency
    where transactions.payment_amount > 0 and transactions.occurred_at is not null
    group by
        cases.currency, cases.created_month, cases.finished_month, {{ month_number(utc_date('transactions.occurred_at')) }}
),

recovered as (
    select currency, created_month, finished_month, sum(recovered_amount) as amount
    from cases
    group by currency, created_month, finished_month
    union all
    select currency, created_month, finished_month, -amount
    from dated
),

-- The rest of what was recovered has no transaction: it counts from the month in which the case was closed, or from this one.
changes as (
    select currency, created_month, month, amount from dated
    union all
    select recovered.currency, recovered.created_month, coalesce(recovered.finished_month, clock.this_month), recovered.amount
    from recovered
    cross join clock
),

by_month as (
    select
        changes.currency,
        changes.created_month,
        least(greatest(least(changes.month, clock.this_month) - changes.created_month, 0), {{ var('vintage_months') }})
            as months_since,
        sum(changes.amount) as amount
    from changes
    cross join clock
    group by changes.currency, changes.created_month, months_since
),

cohorts as (
    select
        cases.currency,
        cases.created_month,
        count(*) as cases,
        sum(cases.gross_amount) as gross_amount,
        max(clock.this_month) - cases.created_month as age
    from cases
    cross join clock
    group by cases.currency, cases.created_month
),

ages as (
    select currency, least(max(age), {{ var('vintage_months') }}) as last_age
    from cohorts
    group by currency
),

-- Every cohort at every age that any of its currency has reached; what lies after this month is not known.
triangle as (
    select
        cohorts.currency,
        cohorts.created_month,
        cohorts.cases,
        cohorts.gross_amount,
        numbers.months_since,
        numbers.months_since < cohorts.age as is_complete,
        numbers.months_since <= greatest(cohorts.age, 0) as is_known,
        -- Never less than nothing: a payment that the remainder does not show may be dated after the case was closed.
        cast(greatest(sum(coalesce(by_month.amount, 0)) over by_age, 0) as decimal(28, 4)) as recovered_amount,
        cast(coalesce(by_month.amount, 0) as decimal(28, 4)) as recovered_in_month
    from cohorts
    inner join ages on ages.currency = cohorts.currency
    cross join generate_series(0, {{ var('vintage_months') }}) as numbers (months_since)
    left join by_month
        on by_month.currency = cohorts.currency
        and by_month.created_month = cohorts.created_month
        and by_month.months_since = numbers.months_since
    where numbers.months_since <= greatest(ages.last_age, 0)
    window by_age as (
        partition by cohorts.currency, cohorts.created_month order by numbers.months_since
        rows between unbounded preceding and current row
    )
),

steps as (
    select
        triangle.*,
        lag(recovered_amount) over by_age as before_amount,
        max(case when is_complete then months_since end) over (partition by currency, created_month) as last_complete
    from triangle
    window by_age as (partition by currency, created_month order by months_since)
),

-- Volume-weighted age-to-age factors of the chain ladder, and the share of the gross amount that each month brings.
factors as (
    select
        currency,
        months_since,
        cast(sum(recovered_amount) as double precision) / nullif(cast(sum(before_amount) as double precision), 0) as factor,
        cast(sum(recovered_in_month) as double precision) / nullif(cast(sum(gross_amount) as double precision), 0) as share
    from steps
    where is_complete
    group by currency, months_since
),

developed as (
    select
        currency,
        months_since,
        coalesce(sum(ln(case when factor > 0 then factor else 1 end)) over by_age, 0) as log_development,
        sum(coalesce(share, 0)) over by_age as share_so_far
    from factors
    window by_age as (partition by currency order by months_since)
),

-- From a cohort's last complete month on.
projected as (
    select
        steps.*,
        at_last.recovered_amount as last_amount,
        cast(at_last.recovered_amount as double precision) / nullif(cast(steps.gross_amount as double precision), 0) as last_share,
        exp(development.log_development - last_development.log_development) as factor,
        development.share_so_far - coalesce(last_development.share_so_far, 0) as more_share
    from steps
    left join steps as at_last
        on at_last.currency = steps.currency
        and at_last.created_month = steps.created_month
        and at_last.months_since = steps.last_complete
    left join developed as development
        on development.currency = steps.currency and development.months_since = steps.months_since
    left join developed as last_development
        on last_development.currency = steps.currency and last_development.months_since = steps.last_complete
)

select
    {{ month_start('created_month') }} as created_month,
    cast(months_since as integer) as months_since,
    currency,
    cast(cases as bigint) as cases,
    cast(gross_amount as decimal(28, 4)) as gross_amount,
    cast(case when is_known then recovered_amount end as decimal(28, 4)) as recovered_amount,
    cast(case when is_known then {{ share }} end as decimal(28, 6)) as recovered_share,
    is_complete,
    cast(
        case
            when is_complete then {{ share }}
            when last_amount > 0 and factor is not null then greatest(least(cast(last_share * factor as decimal(28, 6)), 1), 0)
            when more_share is not null then greatest(least(cast(more_share as decimal(28, 6)), 1), 0)
        end as decimal(28, 6)
    ) as projected_share,
    case
        when is_complete then 'observed'
        when last_amount > 0 and factor is not null then 'chain ladder'
        when more_share is not null then 'additive: nothing recovered so far'
        else 'no cohort has come so far'
    end as method
from projected
