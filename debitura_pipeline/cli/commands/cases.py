"""`debitura cases plan|apply|status|settle`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from debitura_pipeline.cli.exit_status import DONE, FAILED
from debitura_pipeline.cli.options import AllowSourceShrink, AsJson, PlanOut
from debitura_pipeline.settings import load_settings

commands = typer.Typer(help="Submit the claims of the source (DEBITURA_CLAIMS) as cases.", no_args_is_help=True)


@commands.command("plan", epilog="Examples:  debitura cases plan  |  debitura cases plan --out plan.json")
def cases_plan(out: PlanOut = None, allow_shrink: AllowSourceShrink = False, as_json: AsJson = False) -> None:
    """Show which claims would be submitted, at what price, and why the others would not. Sends no write requests."""
    from debitura_pipeline.cli.submitting import show_cases_plan

    raise typer.Exit(DONE if show_cases_plan(load_settings(), out, allow_shrink=allow_shrink) else FAILED)


@commands.command("apply", epilog="Examples:  debitura cases apply  |  debitura cases apply plan.json")
def cases_apply(
    kept: Annotated[
        Path | None, typer.Argument(metavar="[PLAN]", help="A plan that `plan --out` wrote in the last 24 hours.")
    ] = None,
    allow_shrink: AllowSourceShrink = False,
    as_json: AsJson = False,
) -> None:
    """Submit the planned claims; with PLAN, only if that plan is still valid. Needs `cases` in DEBITURA_WRITES."""
    from debitura_pipeline.cli.submitting import apply_cases

    raise typer.Exit(DONE if apply_cases(load_settings(), kept, allow_shrink=allow_shrink) else FAILED)


@commands.command("status", epilog="Examples:  debitura cases status  |  debitura cases status --json")
def cases_status(as_json: AsJson = False) -> None:
    """Show the status of each claim, without calling the API."""
    from debitura_pipeline.cli.submitting import show_cases_status

    show_cases_status(load_settings())


@commands.command(
    "settle",
    epilog="Examples:  debitura cases settle acme INV-7 --case ID  |  debitura cases settle acme INV-7 --no-case",
)
def cases_settle(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="The claim's external_tenant_id.")],
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help="The claim's creditor_reference.")],
    case_id: Annotated[
        str | None, typer.Option("--case", metavar="ID", help="The case that its request created.")
    ] = None,
    no_case: Annotated[bool, typer.Option("--no-case", help="Its request created no case.")] = False,
    creditor: Annotated[
        str | None, typer.Option(metavar="ID", help="The client, if claims of two are in doubt.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Record what you found out at Debitura about a claim in doubt that no lookup can decide. Sends nothing."""
    from debitura_pipeline.cli.submitting import settle_case

    settle_case(load_settings(), (tenant, reference), case_id, creditor, is_absent=no_case)
