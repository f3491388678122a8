{# A transaction's revenue stage from its three statuses and the partner's invoicing mode; first match wins. Spelling is
   compared without regard to case; no referral status reads as Pending, any mode but ConfirmedPipeline as PayWhenPaid.
   Called in one model only: int_revenue_stages. For control totals the pipeline has the same rules in contract/stages.py. Plain Jinja, so that a test can render it and compare. #}

{% macro revenue_stage(commission, platform, referral, mode) -%}
    case
        when lower(coalesce({{ referral }}, 'pending')) = 'disputed' then 'Disputed'
        when lower(coalesce({{ referral }}, 'pending')) = 'paid' then 'Paid'
        when lower(coalesce({{ referral }}, 'pending')) = 'invoiced' then 'AwaitingDebituraPayment'
        when lower(coalesce({{ referral }}, 'pending')) <> 'pending' then 'Unclassified'
        when lower({{ mode }}) = 'confirmedpipeline' and lower({{ commission }}) = 'paid'
            and lower({{ platform }}) in ('notinvoiced', 'invoiceissued') then 'ReadyToInvoiceDebitura'
        when lower({{ platform }}) = 'paymentreceived' then 'ReadyToInvoiceDebitura'
        when lower({{ platform }}) = 'invoiceissued' then 'AwaitingCollectionPartnerPayment'
        when lower({{ platform }}) = 'notinvoiced' and lower({{ commission }}) = 'paid' then 'ConfirmedPendingInvoice'
        when lower({{ platform }}) = 'notinvoiced' and lower({{ commission }}) in ('unpaid', 'credited') then 'Pending'
        else 'Unclassified'
    end
{%- endmacro %}
