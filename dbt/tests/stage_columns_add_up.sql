-- The six stages are the total, the estimates are part of it, wherever fees stand in one column per stage.
{% for model in ['fct_cases', 'attribution_by_client'] %}
select '{{ model }}' as what, count(*) as rows_found
from {{ ref(model) }}
where fee_pending_usd + fee_confirmed_pending_invoice_usd + fee_awaiting_collection_partner_payment_usd
    + fee_ready_to_invoice_debitura_usd + fee_awaiting_debitura_payment_usd + fee_paid_usd <> fee_total_usd
having count(*) > 0
{{ 'union all' if not loop.last }}
{% endfor %}
