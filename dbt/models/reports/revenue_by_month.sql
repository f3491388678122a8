-- Each basis takes the transactions that are in its state now, by the month in which they were first seen so.
with fct_transactions as (
    select * from {{ ref('fct_transactions') }}
),

transactions as (
    select
        revenue_stage,
        coalesce(earnings_currency, 'unknown') as currency,
        referral_fee,
        referral_fee_usd,
        referral_fee_recognized_usd,
        {{ is_moving() }} as is_estimate,
        is_clawback_risk,
        is_recognized,
        lower(referral_invoicing_status) as referral_status,
        collected_month,
        {{ utc_month('recognized_seen_at') }} as recognized_month,
        {{ utc_month('invoiced_seen_at') }} as invoiced_month,
        {{ utc_month('paid_seen_at') }} as paid_month
    from fct_transactions
),

by_basis as (
    select 'collected' as basis, collected_month as month, revenue_stage, currency, referral_fee, referral_fee_usd, is_estimate,
        is_clawback_risk
    from transactions
    union all
    select 'recognized', recognized_month, revenue_stage, currency, referral_fee, referral_fee_recognized_usd, is_estimate,
        is_clawback_risk
    from transactions
    where is_recognized
    union all
    select 'invoiced', invoiced_month, revenue_stage, currency, referral_fee, referral_fee_usd, is_estimate,
        is_clawback_risk
    from transactions
    where referral_status in ('invoiced', 'paid', 'disputed')
    union all
    select 'paid', paid_month, revenue_stage, currency, referral_fee, referral_fee_usd, is_estimate,
        is_clawback_risk
    from transactions
    where referral_status = 'paid'
)

select
    basis,
    month,
    coalesce({{ month_text('month') }}, 'unknown') as month_label,
    currency,
    count(*) filter (where {{ is_expected() }}) as transaction_count,
    {{ money_sum('referral_fee', is_expected()) }} as referral_fee,
    {{ money_sum('referral_fee_usd', is_expected()) }} as referral_fee_usd,
    {{ money_sum('referral_fee_usd', is_expected() ~ ' and is_estimate') }} as of_which_estimate_usd,
    {%- for name in ['collected', 'recognized', 'invoiced', 'paid'] %}
    case when basis = '{{ name }}' then count(*) filter (where {{ is_expected() }}) else 0 end as {{ name }}_count,
    case when basis = '{{ name }}' then {{ money_sum('referral_fee_usd', is_expected()) }} else 0 end as {{ name }}_fee_usd,
    {%- endfor %}
    {{ money_sum('referral_fee_usd', 'is_clawback_risk') }} as clawback_risk_usd,
    count(*) filter (where revenue_stage = 'Disputed') as disputed_count,
    {{ money_sum('referral_fee', "revenue_stage = 'Disputed'") }} as disputed_fee,
    {{ money_sum('referral_fee_usd', "revenue_stage = 'Disputed'") }} as disputed_fee_usd,
    count(*) filter (where revenue_stage = 'Unclassified') as unclassified_count,
    {{ money_sum('referral_fee', "revenue_stage = 'Unclassified'") }} as unclassified_fee,
    {{ money_sum('referral_fee_usd', "revenue_stage = 'Unclassified'") }} as unclassified_fee_usd
from by_basis
group by basis, month, currency
