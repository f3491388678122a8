"""Assets for what is sent to Debitura: plans of registrations and submissions, registered clients, submitted cases."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from debitura_pipeline.orchestration.keys import LISTING, OWNERS, PARTNERS, REGISTRATION, STEP_POOL, SUBMISSION
from debitura_pipeline.orchestration.register import register
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.submit import submit_claims


def _spec(key: dg.AssetKey, group: str, description: str, *deps: dg.AssetKey) -> dg.AssetSpec:
    return dg.AssetSpec(
        key, deps=deps, skippable=True, group_name=group, description=description, owners=OWNERS, kinds={"python"}
    )


# One step: what is sent is what was planned a moment before, from one reading of the listing.
@dg.multi_asset(
    name="register_clients",
    specs=[
        _spec(
            REGISTRATION["plan"],
            "registration",
            "Which clients of the roster are to be registered, and why the others are not. Sends no write requests.",
            LISTING["clients"],
        ),
        _spec(
            REGISTRATION["clients"],
            "registration",
            "Clients registered by POST /clients. Materialised only with `clients` in DEBITURA_WRITES.",
            REGISTRATION["plan"],
        ),
    ],
    pool=STEP_POOL,
    partitions_def=PARTNERS,
)
def registered_clients(context: dg.AssetExecutionContext, debitura: Debitura) -> Iterator[dg.MaterializeResult[Any]]:
    """Register the clients of the roster. Raises RegistrationStopped if the apply ended early."""
    yield from register(context, debitura)


@dg.multi_asset(
    name="submit_claims",
    specs=[
        _spec(
            SUBMISSION["plan"],
            "submission",
            "Which claims are to be submitted, and why the others are not. Sends no write requests.",
            LISTING["clients"],  # not registration: without a roster it is skipped, and what depends on it as well
        ),
        _spec(
            SUBMISSION["cases"],
            "submission",
            "Cases created by POST /cases, each claim at most once. Materialised only with `cases` in DEBITURA_WRITES.",
            SUBMISSION["plan"],
        ),
    ],
    pool=STEP_POOL,
    partitions_def=PARTNERS,
)
def submitted_claims(context: dg.AssetExecutionContext, debitura: Debitura) -> Iterator[dg.MaterializeResult[Any]]:
    """Submit the claims of the source. Raises SubmissionStopped if the apply ended early."""
    yield from submit_claims(context, debitura)
