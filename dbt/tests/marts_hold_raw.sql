-- Every live row of raw is in its mart once, with its amounts. A difference would be published as a wrong number.
with compared as (
    select
        'transactions' as what,
        (select count(*) from {{ ref('fct_transactions') }}) as mart_rows,
        (select count(*) from {{ source('debitura', 'transactions') }} where _deleted_at is null) as raw_rows,
        (select coalesce(sum(referral_fee_usd), 0) from {{ ref('fct_transactions') }}) as mart_amount,
        (
            select coalesce(sum(referral_fee_usd), 0) from {{ source('debitura', 'transactions') }} where _deleted_at is null
        ) as raw_amount
    union all
    select
        'cases',
        (select count(*) from {{ ref('fct_cases') }}),
        (select count(*) from {{ source('debitura', 'cases') }} where _deleted_at is null),
        (select coalesce(sum(recovered_amount), 0) from {{ ref('fct_cases') }}),
        (
            select coalesce(sum(gross_amount) - sum(remainder), 0)
            from {{ source('debitura', 'cases') }}
            where _deleted_at is null and gross_amount is not null and remainder is not null
        )
    union all
    select
        'clients',
        (select count(*) from {{ ref('dim_clients') }} where client_record <> 'unknown'),
        (select count(*) from {{ source('debitura', 'clients') }}),
        (select coalesce(sum(earnings_usd), 0) from {{ ref('dim_clients') }}),
        (select coalesce(sum(earnings_usd), 0) from {{ source('debitura', 'clients') }})
    union all
    select
        'fees of cases',
        (select coalesce(sum(transaction_count), 0) from {{ ref('fct_cases') }}),
        (select count(*) from {{ ref('fct_transactions') }} where case_record = 'live'),
        (select coalesce(sum(fee_total_usd + fee_disputed_usd + fee_unclassified_usd), 0) from {{ ref('fct_cases') }}),
        (select coalesce(sum(referral_fee_usd), 0) from {{ ref('fct_transactions') }} where case_record = 'live')
)

select * from compared where mart_rows <> raw_rows or mart_amount <> raw_amount
