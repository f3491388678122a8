-- Every report adds up to the transactions or cases that it is made of: rows, and USD to the last digit.
with transactions as (
    select
        count(*) as rows_found,
        coalesce(sum(referral_fee_usd), 0) as usd,
        count(*) filter (where revenue_stage <> 'Paid') as unpaid_rows,
        coalesce(sum(referral_fee_usd) filter (where revenue_stage <> 'Paid'), 0) as unpaid_usd,
        count(*) filter (where is_recognized) as recognized_rows,
        coalesce(sum(referral_fee_recognized_usd) filter (where is_recognized), 0) as recognized_usd,
        count(*) filter (where lower(referral_invoicing_status) in ('invoiced', 'paid', 'disputed')) as invoiced_rows,
        coalesce(sum(referral_fee_usd) filter (where lower(referral_invoicing_status) in ('invoiced', 'paid', 'disputed')), 0)
            as invoiced_usd,
        count(*) filter (where revenue_stage = 'Paid') as paid_rows,
        coalesce(sum(referral_fee_usd) filter (where revenue_stage = 'Paid'), 0) as paid_usd
    from {{ ref('fct_transactions') }}
),

cases as (
    select count(*) as rows_found, coalesce(sum(fee_total_usd), 0) as usd from {{ ref('fct_cases') }}
),

months as (
    select
        basis,
        sum(transaction_count + disputed_count + unclassified_count) as rows_found,
        sum(referral_fee_usd + disputed_fee_usd + unclassified_fee_usd) as usd
    from {{ ref('revenue_by_month') }}
    group by basis
),

bases as (
    select 'collected' as basis, rows_found, usd from transactions
    {%- for basis in ['recognized', 'invoiced', 'paid'] %}
    union all
    select '{{ basis }}', {{ basis }}_rows, {{ basis }}_usd from transactions
    {%- endfor %}
),

compared as (
    select
        'revenue_by_month ' || bases.basis as what,
        coalesce(months.rows_found, 0) as report_rows,
        bases.rows_found as mart_rows,
        coalesce(months.usd, 0) as report_usd,
        bases.usd as mart_usd
    from bases
    left join months on months.basis = bases.basis
    union all
    select
        'revenue_by_client', coalesce(sum(report.transaction_count), 0), max(transactions.rows_found),
        coalesce(sum(report.referral_fee_usd), 0), max(transactions.usd)
    from transactions
    left join {{ ref('revenue_by_client') }} as report on true
    union all
    select
        'revenue_pipeline', coalesce(sum(report.transaction_count), 0), max(transactions.unpaid_rows),
        coalesce(sum(report.referral_fee_usd), 0), max(transactions.unpaid_usd)
    from transactions
    left join {{ ref('revenue_pipeline') }} as report on true
    union all
    select
        'attribution_by_client', coalesce(sum(report.transactions_total), 0), max(transactions.rows_found),
        coalesce(sum(report.fee_total_usd + report.fee_disputed_usd + report.fee_unclassified_usd), 0), max(transactions.usd)
    from transactions
    left join {{ ref('attribution_by_client') }} as report on true
    union all
    select
        'payout_reconciliation', coalesce(sum(report.warehouse_count), 0), max(transactions.rows_found),
        coalesce(sum(report.warehouse_usd), 0), max(transactions.usd)
    from transactions
    left join {{ ref('payout_reconciliation') }} as report
        on report.resource = 'transactions' and report.stage not in ('rows', 'debitura_revenue')
    union all
    select
        'case_outcomes', coalesce(sum(report.cases), 0), max(cases.rows_found),
        coalesce(sum(report.fee_total_usd), 0), max(cases.usd)
    from cases
    left join {{ ref('case_outcomes') }} as report on true
)

select * from compared where report_rows <> mart_rows or report_usd <> mart_usd
