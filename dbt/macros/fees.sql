{# Fees of a group of transactions, one column per stage: USD, Disputed and Unclassified beside the total, not in it.
   Called over fct_transactions. #}

{% macro fee_stages() -%}
    {{ return([
        ('pending', 'Pending'),
        ('confirmed_pending_invoice', 'ConfirmedPendingInvoice'),
        ('awaiting_collection_partner_payment', 'AwaitingCollectionPartnerPayment'),
        ('ready_to_invoice_debitura', 'ReadyToInvoiceDebitura'),
        ('awaiting_debitura_payment', 'AwaitingDebituraPayment'),
        ('paid', 'Paid'),
    ]) }}
{%- endmacro %}

{% macro fee_column_names() -%}
    {%- set names = [] -%}
    {%- for name, _ in fee_stages() -%}{%- do names.append('fee_' ~ name ~ '_usd') -%}{%- endfor -%}
    {{ return(names + [
        'fee_total_usd', 'fee_total_of_which_estimate_usd', 'clawback_risk_usd', 'fee_disputed_usd', 'fee_unclassified_usd'
    ]) }}
{%- endmacro %}

{# The columns of `fee_columns` by name. #}
{% macro fee_column_list() -%}
    {{ fee_column_names() | join(',\n    ') }}
{%- endmacro %}

{# The same, of a row that a join may not have found. #}
{% macro fee_columns_or_zero(fees) -%}
    {%- for column in fee_column_names() %}
    cast(coalesce({{ fees }}.{{ column }}, 0) as decimal(28, 4)) as {{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{% macro fee_columns() -%}
    {%- for name, stage in fee_stages() %}
        {{ money_sum('referral_fee_usd', "revenue_stage = '" ~ stage ~ "'") }} as fee_{{ name }}_usd,
    {%- endfor %}
        {{ money_sum('referral_fee_usd', is_expected()) }} as fee_total_usd,
        {{ money_sum('referral_fee_usd', is_expected() ~ ' and ' ~ is_moving()) }} as fee_total_of_which_estimate_usd,
        {{ money_sum('referral_fee_usd', 'is_clawback_risk') }} as clawback_risk_usd,
        {{ money_sum('referral_fee_usd', "revenue_stage = 'Disputed'") }} as fee_disputed_usd,
        {{ money_sum('referral_fee_usd', "revenue_stage = 'Unclassified'") }} as fee_unclassified_usd
{%- endmacro %}

{# Counts towards expected or earned income. #}
{% macro is_expected() -%}
    revenue_stage not in ('Disputed', 'Unclassified')
{%- endmacro %}

{# The amount is an estimate; where the API did not say, it reads as one. A fee that may be taken back is none, although the
   API flags it so: its amount is known. #}
{% macro is_moving() -%}
    (coalesce(is_estimate, true) and not coalesce(is_clawback_risk, false))
{%- endmacro %}

{# The fee is off its own chain by more than a cent; recomputed as a check, never as an amount. A rate beyond 1,000 % is off
   whatever it gives. #}
{% macro fee_is_off() -%}
    abs(
        cast(cast(debitura_revenue as decimal(24, 4)) * cast(greatest(least(fee_pct, 1000), -1000) as decimal(10, 4)) * 0.01 as decimal(38, 4))
        - cast(referral_fee as decimal(38, 4))
    ) > 0.01
{%- endmacro %}
