-- A change's parts are its difference, and the difference is the new fee less the old.
select *
from {{ ref('fct_stage_changes') }}
where delta_usd <> presence_usd + edit_usd + fx_usd
    or delta_usd <> coalesce(to_referral_fee_usd, 0) - coalesce(from_referral_fee_usd, 0)
