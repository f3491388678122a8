-- A table, though it is small: the planner then knows that it is, and does not build its hash table on the transactions.
{{ config(materialized='table') }}

with seen as (
    select commission_status, platform_invoicing_status, referral_invoicing_status
    from {{ ref('stg_debitura__transactions') }}
    union
    select commission_status, platform_invoicing_status, referral_invoicing_status
    from {{ ref('stg_debitura__transactions_history') }}
),

modes as (
    select distinct invoicing_trigger_mode from {{ ref('int_invoicing_modes') }}
),

staged as (
    select
        {{ status_key('commission_status') }} as commission_key,
        {{ status_key('platform_invoicing_status') }} as platform_key,
        {{ status_key('referral_invoicing_status') }} as referral_key,
        modes.invoicing_trigger_mode,
        {{ revenue_stage(
            'commission_status', 'platform_invoicing_status', 'referral_invoicing_status', 'modes.invoicing_trigger_mode'
        ) }} as revenue_stage
    from seen
    cross join modes
),

names as (
    select *
    from (
        values
            ('Pending', 1, 'Pending', 'Unrecognized'),
            ('ConfirmedPendingInvoice', 2, 'Confirmed/Pending Invoice', 'Ready to Invoice'),
            ('AwaitingCollectionPartnerPayment', 3, 'Awaiting Collection Partner Payment', 'Ready to Invoice'),
            ('ReadyToInvoiceDebitura', 4, 'Ready to Invoice Debitura', 'Ready to Invoice'),
            ('AwaitingDebituraPayment', 5, 'Awaiting Debitura Payment', 'Invoiced'),
            ('Paid', 6, 'Paid', 'Paid')
    ) as listed (revenue_stage, stage_order, revenue_stage_six, revenue_stage_four)
)

select
    staged.*,
    coalesce(names.stage_order, case when staged.revenue_stage = 'Disputed' then 7 else 8 end) as stage_order,
    names.revenue_stage_six,
    names.revenue_stage_four
from staged
left join names on names.revenue_stage = staged.revenue_stage
