select
    invoicing_trigger_mode,
    cast(referral_fee_pct as decimal(28, 4)) as referral_fee_pct,
    _valid_from as valid_from,
    _valid_to as valid_to
from {{ source('debitura', 'partner_history') }}
