-- The six stages are the total wherever fees stand in one column per stage; so are the four classes of due dates.
{% for model in ['fct_cases', 'attribution_by_client'] %}
select '{{ model }}' as what, count(*) as rows_found
from {{ ref(model) }}
where fee_pending_usd + fee_confirmed_pending_invoice_usd + fee_awaiting_collection_partner_payment_usd
    + fee_ready_to_invoice_debitura_usd + fee_awaiting_debitura_payment_usd + fee_paid_usd <> fee_total_usd
having count(*) > 0
union all
{% endfor %}
select 'revenue_pipeline' as what, count(*) as rows_found
from {{ ref('revenue_pipeline') }}
where overdue_usd + due_usd + not_before_usd + unknown_usd <> referral_fee_usd
    or overdue_count + due_count + not_before_count + unknown_count <> transaction_count
having count(*) > 0
