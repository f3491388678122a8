"""`debitura replay`, `debitura verify` and `debitura repair`: commands on the landing zone. None of them calls the API."""

from __future__ import annotations

from typing import Annotated

import typer

from debitura_pipeline import address_space
from debitura_pipeline.cli.exit_status import DONE, NOT_PROVEN
from debitura_pipeline.cli.options import AsJson
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.run_lock import exclusive_run

commands = typer.Typer()


@commands.command()
def replay() -> None:
    """Rebuild schema `raw` from the landing zone, without the API."""
    settings = load_settings()
    address_space.ensure(address_space.SYNC)
    with exclusive_run(settings, "replay"):
        from debitura_pipeline.cli import console
        from debitura_pipeline.sync import replay as run_replay

        rows = run_replay(settings)
    console.say("Rebuilt from the landing zone: " + ", ".join(f"{count:,} {name}" for name, count in rows.items()))


@commands.command(epilog="Examples:  debitura verify  |  debitura verify --sync 20260401T020000Z-cases-1a2b3c")
def verify(
    sync_id: Annotated[
        str | None, typer.Option("--sync", help="ID of the sync to check; all syncs if omitted.", metavar="ID")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the certificates of past syncs against the landing zone, offline."""
    from debitura_pipeline.cli.verification import verify_certificates

    raise typer.Exit(DONE if verify_certificates(load_settings(), sync_id) else NOT_PROVEN)


@commands.command()
def repair(
    yes: Annotated[bool, typer.Option("--yes", help="Apply the repairs; without it, only list them.")] = False,
) -> None:
    """Repair a damaged journal or landing folder. Lists what would be done; `--yes` does it."""
    from debitura_pipeline.cli import console
    from debitura_pipeline.sync import repair as run_repair

    repairs = run_repair(load_settings(), apply=yes)
    for each in repairs:
        console.say(each.words)
    if not repairs:
        console.say("The landing zone and the warehouse agree; nothing to repair.")
    elif yes:
        console.say(f"{len(repairs)} repaired; files moved aside are in {load_settings().data_dir / 'aside'}")
    else:
        console.say(f"{len(repairs)} to repair; nothing was changed. `debitura repair --yes` applies the repairs.")
