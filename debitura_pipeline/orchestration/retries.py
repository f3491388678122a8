"""Retries of failed nightly runs, by tags that Dagster's `run_retries` reads; none for errors that a retry would meet again.

Only the scheduled run is retried: a command has its exit status, the sensor requests onboarding again, and freshness is checked
the next morning. Waiting out an outage within a run is in `api/outage.py`.
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

# All steps, not only the failed ones: control totals that differ can only be fixed by reading again, which is cheap because a sync
# resumes from the landing zone. Steps pass data to one another only through the warehouse.
STRATEGY = "ALL_STEPS"
# Errors that a retry would meet again.
LASTING = (SettingsError, IdentityRefused, RefusedError, ShrinkRefused, RateLimitExhausted)


def retry_tags() -> dict[str, str]:
    """Tags of a run that may be retried DEBITURA_RUN_RETRIES times; 0 times if the settings are invalid."""
    try:
        return tags_of_retries(load_settings().run_retries)
    except SettingsError:
        return tags_of_retries(0)


def tags_of_retries(retries: int) -> dict[str, str]:
    """Tags of a run that may be retried that many times."""
    return {MAX_RETRIES_TAG: str(retries), RETRY_STRATEGY_TAG: STRATEGY}


def is_lasting(error: BaseException) -> bool:
    """Whether a retry would meet the error again. A plain ApiError is about a certificate, an address or a proxy."""
    return any(isinstance(cause, LASTING) or type(cause) is ApiError for cause in chain(error))


@dg.failure_hook(name="no_retry_of_lasting_errors")
def no_retry_of_lasting_errors(context: dg.HookContext) -> None:
    """Remove the retries of a run whose step met a lasting error. Called before the run ends."""
    error = context.op_exception
    if error is not None and is_lasting(error):
        context.instance.add_run_tags(context.run_id, {MAX_RETRIES_TAG: "0"})
