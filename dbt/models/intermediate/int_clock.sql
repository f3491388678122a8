{{ config(materialized='table') }}

with syncs as (
    select * from {{ source('ops', 'syncs') }}
),

transactions_history as (
    select valid_from from {{ ref('stg_debitura__transactions_history') }}
),

cases_history as (
    select valid_from from {{ ref('stg_debitura__cases_history') }}
),

current_mode as (
    select invoicing_trigger_mode from {{ ref('int_invoicing_modes') }} where is_current
),

-- The reading of one client alone does not say when the rest was read.
last_sync as (
    select max(started_at) as started_at
    from syncs
    where status = 'done' and coalesce(mode, '') <> 'client'
),

readings as (
    select
        resource,
        coalesce(as_of, started_at) as read_at,
        coalesce(mode, '') = 'client' as is_of_clients,
        status = 'done' as is_done
    from syncs
    where status in ('done', 'lost')
    {% if var('as_of') %} and coalesce(as_of, started_at) <= cast('{{ var("as_of") }}' as timestamptz) {% endif %}
),

first_readings as (
    select
        min(read_at) filter (where resource = 'transactions' and not is_of_clients) as transactions_at,
        min(read_at) filter (where resource = 'transactions' and is_of_clients) as transactions_of_clients_at,
        min(read_at) filter (where resource = 'transactions' and not is_of_clients and is_done) as transactions_done_at,
        min(read_at) filter (where resource = 'cases' and not is_of_clients) as cases_at,
        min(read_at) filter (where resource = 'cases' and not is_of_clients and is_done) as cases_done_at,
        min(read_at) filter (where resource = 'cases' and is_of_clients) as cases_of_clients_at
    from readings
),

-- A client that was onboarded before the first whole reading was there before the others; what they show is not new. A first
-- whole reading that found nothing was one all the same: what comes after it is new.
first_load as (
    select
        case
            when first_readings.transactions_of_clients_at < first_readings.transactions_at
                and transactions.at < first_readings.transactions_at
                then first_readings.transactions_at
            else least(transactions.at, first_readings.transactions_done_at)
        end as transactions_at,
        case
            when first_readings.cases_of_clients_at < first_readings.cases_at
                and cases.at < first_readings.cases_at
                then first_readings.cases_at
            else least(cases.at, first_readings.cases_done_at)
        end as cases_at,
        -- Where only readings of single clients are recorded, the transactions of the others are not known.
        first_readings.transactions_at is not null or first_readings.transactions_of_clients_at is null as is_transactions_read
    from first_readings
    cross join (select min(valid_from) as at from transactions_history) as transactions
    cross join (select min(valid_from) as at from cases_history) as cases
),

as_of as (
    select
        {% if var('as_of') %} cast('{{ var("as_of") }}' as timestamptz) {% else %} last_sync.started_at {% endif %} as as_of
    from last_sync
)

select
    as_of.as_of,
    {{ utc_date('as_of.as_of') }} as as_of_day,
    first_load.transactions_at as transactions_first_load_at,
    first_load.cases_at as cases_first_load_at,
    first_load.is_transactions_read,
    current_mode.invoicing_trigger_mode
from as_of
cross join first_load
cross join current_mode
