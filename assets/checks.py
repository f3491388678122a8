"""Asset checks of raw tables and reports. The queries are in `warehouse/checks.py`.

Unique keys, and the control totals of transactions, are blocking: after a failure nothing is built, reported or published. The
other checks only report. dbt's tests are checks of the dbt models.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import dagster as dg

from assets.warehouse import dbt_models
from debitura_pipeline.orchestration.keys import (
    GAPS,
    PARTNER_REPORT,
    PARTNERS,
    PUBLISHED,
    RAW,
    RESOURCES,
    STEP_POOL,
)
from debitura_pipeline.orchestration.metadata import Metadata, table_metadata
from debitura_pipeline.orchestration.observations import last_whole_reading
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.submission.proof import check_submissions
from debitura_pipeline.warehouse import checks as verdicts
from debitura_pipeline.warehouse.checks import CheckResult, RunQuery
from debitura_pipeline.warehouse.published_folder import current_night


def check_result(name: str, asset: dg.AssetKey, verdict: CheckResult) -> dg.AssetCheckResult:
    """Convert the result of a check to Dagster's type."""
    metadata: Metadata = {
        figure: dg.MetadataValue.text(value) if isinstance(value, str) else dg.MetadataValue.float(float(value))
        for figure, value in verdict.figures.items()
    }
    if verdict.table:
        metadata |= table_metadata("details", verdict.table)
    return dg.AssetCheckResult(
        passed=verdict.passed,
        check_name=name,
        asset_key=asset,
        severity=dg.AssetCheckSeverity.WARN if verdict.is_warning else dg.AssetCheckSeverity.ERROR,
        description=verdict.description,
        metadata=metadata,
    )


def checks_of(resource: str) -> dg.AssetChecksDefinition:
    """All checks of one raw table, in one step, so that the warehouse is opened once."""
    asset = RAW[resource]
    blocking = {"unique_keys", "control_totals"} if resource == "transactions" else {"unique_keys"}
    questions: dict[str, Callable[[RunQuery], CheckResult]] = {
        "completeness": lambda rows: verdicts.completeness(resource, rows),
        "control_totals": lambda rows: verdicts.control_totals(resource, rows),
        "unique_keys": lambda rows: verdicts.unique_keys(resource, rows),
        "quarantine_empty": lambda rows: verdicts.quarantine_empty(resource, rows),
        "schema_drift": lambda rows: verdicts.schema_drift(resource, rows),
    }

    @dg.multi_asset_check(
        name=f"checks_of_{resource}",
        specs=[
            dg.AssetCheckSpec(
                name, asset=asset, blocking=name in blocking, description=_PURPOSES[name], partitions_def=PARTNERS
            )
            for name in questions
        ],
        pool=STEP_POOL,
    )
    def checks(debitura: Debitura) -> Iterator[dg.AssetCheckResult]:
        with debitura.warehouse() as warehouse:
            results = [check_result(name, asset, ask(warehouse.rows)) for name, ask in questions.items()]
        yield from results

    return checks


def freshness_of(resource: str) -> dg.AssetChecksDefinition:
    """Freshness of a raw table, by Dagster's event log: neither the warehouse nor the API's clock is involved."""
    asset = RAW[resource]

    @dg.asset_check(asset=asset, name="freshness", description=_PURPOSES["freshness"], partitions_def=PARTNERS)
    def freshness(context: dg.AssetCheckExecutionContext, debitura: Debitura) -> dg.AssetCheckResult:
        read_at = last_whole_reading(debitura.state(context.instance), asset)
        return check_result("freshness", asset, verdicts.freshness(resource, read_at, datetime.now(UTC)))

    return freshness


@dg.asset_check(
    asset=PARTNER_REPORT,
    name="freshness",
    description="The report is at most 26 hours old.",
    partitions_def=PARTNERS,
)
def report_freshness(context: dg.AssetCheckExecutionContext, debitura: Debitura) -> dg.AssetCheckResult:
    """Freshness of the report, by its last materialisation."""
    event = debitura.state(context.instance).get_latest_materialization_event(PARTNER_REPORT)
    made_at = datetime.fromtimestamp(event.timestamp, UTC) if event else None
    return check_result(
        "freshness", PARTNER_REPORT, verdicts.freshness("The report", made_at, datetime.now(UTC), "was made")
    )


@dg.asset_check(
    asset=PUBLISHED,
    name="freshness",
    description="The published data is at most 26 hours old.",
    partitions_def=PARTNERS,
)
def published_freshness(debitura: Debitura) -> dg.AssetCheckResult:
    """Freshness of the published data itself: publishing an old warehouse again does not make it fresh."""
    settings = debitura.settings
    night = current_night(settings.published_dir)
    data_at = None if night is None else night.data_at(is_simulated=settings.environment == "sandbox")
    verdict = verdicts.freshness("The published data", data_at, datetime.now(UTC), "were read")
    return check_result("freshness", PUBLISHED, verdict)


@dg.asset_check(
    asset=RAW["clients"],
    additional_deps=[RAW["transactions"]],
    pool=STEP_POOL,
    partitions_def=PARTNERS,
    description="The case count and earnings in each client's record match that client's rows.",
)
def client_totals(debitura: Debitura) -> dg.AssetCheckResult:
    """Compare clients' own totals with their rows."""
    with debitura.warehouse() as warehouse:
        return check_result("client_totals", RAW["clients"], verdicts.client_totals(warehouse.rows))


@dg.asset_check(
    asset=GAPS,
    name="no_gaps",
    pool=STEP_POOL,
    description="No attribution gap suggests missing revenue.",
    partitions_def=PARTNERS,
)
def attribution_gaps(debitura: Debitura) -> dg.AssetCheckResult:
    """Check that report `attribution_gaps` is empty."""
    with debitura.warehouse() as warehouse:
        return check_result("no_gaps", GAPS, verdicts.attribution_gaps(warehouse.rows))


@dg.asset_check(
    asset=RAW["cases"],
    pool=STEP_POOL,
    partitions_def=PARTNERS,
    description="Every wanted claim has its case, or a reason why not; cases that no row asks for are listed.",
)
def submission_proof(debitura: Debitura) -> dg.AssetCheckResult:
    """Compare the wanted claims with the cases that were read."""
    with debitura.warehouse() as warehouse:
        verdict = check_submissions(debitura.settings, warehouse)
    return check_result("submission_proof", RAW["cases"], verdict)


_PURPOSES = {
    "completeness": "The last sync is complete; every window was verified.",
    "control_totals": "The API's own totals equal the warehouse's.",
    "unique_keys": "Keys are unique, and each row has one current version in its history.",
    "quarantine_empty": "Every row that the API returned conforms to the contract.",
    "schema_drift": "The API sent no new fields and no new enum values.",
    "freshness": "The last sync is at most 26 hours old.",
}

freshness_checks = [*(freshness_of(resource) for resource in RESOURCES), report_freshness, published_freshness]
all_checks = [
    *(checks_of(resource) for resource in RESOURCES),
    *freshness_checks,
    client_totals,
    submission_proof,
    *([attribution_gaps] if GAPS in dbt_models.keys else []),
]
