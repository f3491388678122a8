{# What the models of the forecast share; docs/data/forecast.md explains the methods. #}

{# Floating-point numbers are rounded one by one before they are summed: a sum is then the same whatever its order, and on both
   engines. #}
{% macro term(number) -%}
    cast({{ number }} as decimal(28, 6))
{%- endmacro %}

{% macro squared_term(number) -%}
    cast({{ number }} as decimal(38, 4))
{%- endmacro %}

{# The square of an amount of at most 10^12 USD; larger ones count as that. DuckDB multiplies two decimals of 18 digits within 18. #}
{% macro squared(amount) -%}
    {%- set capped -%} cast(least({{ amount }}, 1000000000000) as decimal(19, 2)) {%- endset -%}
    cast({{ capped }} * {{ capped }} as decimal(38, 4))
{%- endmacro %}

{# The last landmark that so many days have passed. #}
{% macro landmark_of(days) -%}
    case
        {%- for landmark in var('forecast_landmarks') | map('int') | reverse if landmark > 0 %}
        when {{ days }} >= {{ landmark }} then {{ landmark }}
        {%- endfor %}
        when {{ days }} >= 0 then 0
        else -1
    end
{%- endmacro %}

{# A month's band from the mean and variance of its distribution, taken as lognormal: its scale in logarithms. #}
{% macro log_scale(mean, variance) -%}
    sqrt(ln(1 + {{ relative_variance(mean, variance) }}))
{%- endmacro %}

{% macro relative_variance(mean, variance) -%}
    cast({{ variance }} as double precision) / (cast({{ mean }} as double precision) * cast({{ mean }} as double precision))
{%- endmacro %}

{# The quantile whose standard score is `score`. #}
{% macro log_quantile(mean, variance, score) -%}
    cast({{ mean }} as double precision) / sqrt(1 + {{ relative_variance(mean, variance) }}) * exp(cast({{ score }} as double precision) * {{ log_scale(mean, variance) }})
{%- endmacro %}

{# Horizons whose errors are looked at together. #}
{% macro horizon_class(months) -%}
    case when {{ months }} <= 3 then {{ months }} when {{ months }} <= 6 then 4 else 7 end
{%- endmacro %}

{# Days that a transaction is assumed to need from the start of a stage's clock to Paid: the documented terms of the steps that are left, half a
   month until the monthly invoice, and half a month for steps without a documented term. #}
{% macro assumed_days(stage) -%}
    {%- set paid_out = var('debitura_terms_business_days') | int * 7 // 5 -%}
    {%- set terms = var('collection_partner_terms_days') | int -%}
    case {{ stage }}
        when 'AwaitingDebituraPayment' then {{ paid_out }}
        when 'ReadyToInvoiceDebitura' then {{ paid_out + 15 }}
        when 'AwaitingCollectionPartnerPayment' then {{ paid_out + 15 + terms }}
        when 'ConfirmedPendingInvoice' then {{ paid_out + 15 + terms }}
        when 'Pending' then {{ paid_out + 30 + terms }}
        else {{ paid_out + 45 + terms }}
    end
{%- endmacro %}
