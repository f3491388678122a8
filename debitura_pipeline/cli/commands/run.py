"""`debitura nightly` and `debitura sync`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from debitura_pipeline import address_space
from debitura_pipeline.cli.exit_status import DONE, FAILED
from debitura_pipeline.cli.options import AsJson
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.orchestration.nights import failure_to_start_noted
from debitura_pipeline.orchestration.telling import incidents_told
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.run_lock import exclusive_run

commands = typer.Typer()


@commands.command(
    epilog="Examples:  debitura nightly  |  debitura --quiet nightly  |  debitura nightly --json > night.json"
)
def nightly(
    same_night: Annotated[
        bool,
        typer.Option("--same-night", help="Embedded sandbox only: do not advance the simulated clock by a day."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the nightly job once: extract, verify, merge, dbt, report, publish."""
    settings = load_settings()
    with incidents_told(settings), failure_to_start_noted(settings), exclusive_run(settings, "nightly"):
        address_space.ensure(address_space.NIGHT)
        from debitura_pipeline.cli.nightly import run_nightly

        status = run_nightly(settings, advance=not same_night)
    raise typer.Exit(status)


@commands.command(
    epilog="Examples:  debitura sync --plan  |  debitura sync --only cases,transactions  |  debitura sync --full"
)
def sync(
    full: Annotated[bool, typer.Option("--full", help="Force a full read.")] = False,
    only: Annotated[
        str | None,
        typer.Option(help="Comma-separated resources to sync: clients,cases,transactions.", metavar="RESOURCES"),
    ] = None,
    allow_shrink: Annotated[
        bool,
        typer.Option("--allow-shrink", help="Override the shrink guard: allow a sync to mark many rows as deleted."),
    ] = False,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Show what would be read and what it costs, then exit.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Extract, verify and merge, without building reports."""
    settings = load_settings()
    address_space.ensure(address_space.SYNC)
    with nullcontext() if only_plan else exclusive_run(settings, "sync"):
        from debitura_pipeline.cli import syncing

        resources = _resources(only)
        if only_plan:
            syncing.show_plan(settings, resources, full=full)
            return
        is_consistent = syncing.run(settings, resources, full=full, allow_shrink=allow_shrink)
    raise typer.Exit(DONE if is_consistent else FAILED)


def _resources(only: str | None) -> tuple[str, ...]:
    from debitura_pipeline.sync import RESOURCES

    if only is None:
        return RESOURCES
    named = [name.strip() for name in only.split(",")]
    wanted = tuple(dict.fromkeys(name for name in named if name))
    unknown = [name for name in wanted if name not in RESOURCES]
    if not wanted:
        raise SettingsError(f"--only is empty; choose from {', '.join(RESOURCES)}. Example: --only cases")
    if unknown:
        raise SettingsError(
            f"--only accepts {', '.join(RESOURCES)}, not {', '.join(unknown)}. Example: --only cases,transactions"
        )
    return wanted
