-- What the vintages have recovered by now is what the cases have; shares lie between 0 and 1 where the claims are worth something.
with vintages as (
    select * from {{ ref('recovery_vintage') }}
),

newest as (
    select created_month, currency, max(months_since) as months_since
    from vintages
    where recovered_amount is not null
    group by created_month, currency
),

compared as (
    select
        coalesce(sum(vintages.recovered_amount), 0) as report_amount,
        coalesce(sum(vintages.gross_amount), 0) as report_gross,
        coalesce(sum(vintages.cases), 0) as report_cases
    from newest
    inner join vintages
        on vintages.created_month = newest.created_month
        and vintages.currency = newest.currency
        and vintages.months_since = newest.months_since
),

cases as (
    select
        coalesce(sum(greatest(recovered_amount, 0)), 0) as mart_amount,
        coalesce(sum(gross_amount), 0) as mart_gross,
        count(*) as mart_cases
    from {{ ref('fct_cases') }}
    where recovered_amount is not null and created_at is not null and outcome <> 'merged'
)

select 'sums' as what, compared.report_amount, cases.mart_amount
from compared
cross join cases
where compared.report_amount <> cases.mart_amount
    or compared.report_gross <> cases.mart_gross
    or compared.report_cases <> cases.mart_cases
union all
select 'share', recovered_share, projected_share
from vintages
where gross_amount > 0 and (recovered_share < 0 or projected_share < 0 or (projected_share > 1 and not is_complete))
