with partner_history as (
    select * from {{ ref('stg_debitura__partner_history') }}
),

stated as (
    select
        case when lower(invoicing_trigger_mode) = 'confirmedpipeline' then 'ConfirmedPipeline' else 'PayWhenPaid' end
            as invoicing_trigger_mode,
        valid_from
    from partner_history
),

-- What the first version says is taken to have held before it as well; without any version, PayWhenPaid holds.
periods as (
    select
        invoicing_trigger_mode,
        case when row_number() over (order by valid_from) = 1
            then cast('0001-01-01 00:00:00+00' as timestamptz) else valid_from end as valid_from,
        coalesce(lead(valid_from) over (order by valid_from), cast('9999-12-31 00:00:00+00' as timestamptz)) as valid_to,
        lead(valid_from) over (order by valid_from) is null as is_current
    from stated
),

final as (
    select * from periods
    union all
    select
        'PayWhenPaid' as invoicing_trigger_mode,
        cast('0001-01-01 00:00:00+00' as timestamptz) as valid_from,
        cast('9999-12-31 00:00:00+00' as timestamptz) as valid_to,
        true as is_current
    where not exists (select 1 from periods)
)

select * from final
