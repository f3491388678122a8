"""Which night the daemon starts again after it has failed, how often, and which failure would only be met again.

Belongs here: the tags that Dagster's `run_retries` goes by. Does not: waiting out an outage, which a night does itself
(`api/outage.py`). Only the scheduled night asks for retries: a command that somebody gave has its exit status, onboarding is asked
for again by its sensor, and freshness is looked at the next morning.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.storage.tags import MAX_RETRIES_TAG, RETRY_STRATEGY_TAG

from debitura_pipeline.errors import (
    ApiError,
    IdentityRefused,
    RateLimitExhausted,
    RefusedError,
    SettingsError,
    ShrinkRefused,
)
from debitura_pipeline.failures import chain
from debitura_pipeline.settings import load_settings

# All steps, not the failed ones alone: a control total that differed is only mended by reading again, and what is read again is
# little, since a sync goes on from what is landed. Steps pass nothing to one another but what is in the warehouse.
STRATEGY = "ALL_STEPS"
# Met again by a retry: refused keys, other people's data, a spent allowance, a list that shrank, and what needs a person.
LASTING = (SettingsError, IdentityRefused, RefusedError, ShrinkRefused, RateLimitExhausted)


def retry_tags() -> dict[str, str]:
    """Tags of a run that may be retried DEBITURA_RUN_RETRIES times; none where the settings are wrong, as the run will say."""
    try:
        retries = load_settings().run_retries
    except SettingsError:
        retries = 0
    return {MAX_RETRIES_TAG: str(retries), RETRY_STRATEGY_TAG: STRATEGY}


def is_lasting(error: BaseException) -> bool:
    """Whether the same run would meet the error again. An ApiError of no other kind is a certificate, an address, a proxy's no."""
    return any(isinstance(cause, LASTING) or type(cause) is ApiError for cause in chain(error))


@dg.failure_hook(name="no_retry_of_the_same")
def no_retry_of_the_same(context: dg.HookContext) -> None:
    """Take back the retries of a run whose step met a lasting error. Heard before the run itself ends."""
    error = context.op_exception
    if error is not None and is_lasting(error):
        context.instance.add_run_tags(context.run_id, {MAX_RETRIES_TAG: "0"})
