with fct_cases as (
    select * from {{ ref('fct_cases') }}
),

cases as (
    select
        coalesce(debtor_country, 'unknown') as debtor_country,
        coalesce(currency, 'unknown') as currency,
        case
            when outcome in ('open', 'merged', 'recovered') then outcome
            when outcome in ('rejected', 'system') then 'never_started'
            else 'not_recovered'
        end as ending,
        -- Amounts say something about recovery where both are known.
        case when recovered_amount is not null then gross_amount end as gross_amount,
        recovered_amount
    from fct_cases
),

-- Amounts of two currencies are never added: they stand only in the rows of one currency.
sums as (
    select
        case when grouping(debtor_country) = 1 then 'all' else debtor_country end as debtor_country,
        case when grouping(currency) = 1 then 'all' else currency end as currency,
        count(*) as cases,
        count(*) filter (where ending = 'open') as cases_open,
        count(*) filter (where ending = 'merged') as cases_merged,
        count(*) filter (where ending = 'never_started') as cases_never_started,
        count(*) filter (where ending in ('recovered', 'not_recovered')) as cases_ended,
        count(*) filter (where ending = 'recovered') as cases_recovered,
        case when grouping(currency) = 0 then {{ money_sum('gross_amount', "ending in ('recovered', 'not_recovered')") }} end
            as gross_of_ended,
        case when grouping(currency) = 0 then {{ money_sum('recovered_amount', "ending in ('recovered', 'not_recovered')") }} end
            as recovered_of_ended,
        case when grouping(currency) = 0 then {{ money_sum('gross_amount', "ending not in ('merged', 'never_started')") }} end
            as gross_of_ended_and_open,
        case when grouping(currency) = 0 then {{ money_sum('recovered_amount', "ending not in ('merged', 'never_started')") }} end
            as recovered_of_ended_and_open
    from cases
    group by grouping sets ((), (debtor_country), (currency), (debtor_country, currency))
    having count(*) > 0
)

select
    debtor_country,
    currency,
    cases,
    cases_open,
    cases_merged,
    cases_never_started,
    cases_ended,
    cases_recovered,
    cast({{ div('cases_recovered', 'cases_ended', 6) }} as decimal(28, 6)) as recovered_share_of_cases_ended,
    cast({{ div('cases_recovered', '(cases_ended + cases_never_started)', 6) }} as decimal(28, 6))
        as recovered_share_of_cases_ended_or_never_started,
    gross_of_ended,
    recovered_of_ended,
    cast({{ div('recovered_of_ended', 'gross_of_ended', 6) }} as decimal(28, 6)) as recovered_share_of_gross_of_ended,
    gross_of_ended_and_open,
    recovered_of_ended_and_open,
    cast({{ div('recovered_of_ended_and_open', 'gross_of_ended_and_open', 6) }} as decimal(28, 6))
        as recovered_share_of_gross_of_ended_and_open
from sums
