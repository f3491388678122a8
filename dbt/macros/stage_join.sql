{# How a transaction meets its row of int_revenue_stages: by its three statuses as the API spelled them, and a mode,
   unless the stages are those of one mode already. #}

{% macro status_key(status) -%}
    coalesce({{ status }}, '(null)')
{%- endmacro %}

{% macro stage_join(stages, rows, mode=none) -%}
    {{ stages }}.commission_key = {{ status_key(rows ~ '.commission_status') }}
    and {{ stages }}.platform_key = {{ status_key(rows ~ '.platform_invoicing_status') }}
    and {{ stages }}.referral_key = {{ status_key(rows ~ '.referral_invoicing_status') }}
    {%- if mode is not none %}
    and {{ stages }}.invoicing_trigger_mode = {{ mode }}
    {%- endif %}
{%- endmacro %}
