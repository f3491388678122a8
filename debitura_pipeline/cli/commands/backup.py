"""`debitura backup` and `debitura restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from debitura_pipeline.plural import counted
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.run_lock import exclusive_run, without_dev

commands = typer.Typer()


@commands.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The archive to write, for example /backups/debitura.tar.gz.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE if it exists.")] = False,
) -> None:
    """Write the warehouse, landing zone, privacy key and Dagster storage to one file, without the API key."""
    settings = load_settings()
    with exclusive_run(settings, "backup"):
        from debitura_pipeline.backup import back_up
        from debitura_pipeline.cli import console

        made = back_up(settings, file, force=force)
    console.say(f"Backed up {len(made.members):,} files to {file}. It contains the privacy key: restrict access to it.")
    if made.dagster != "sqlite":
        console.say(
            "Dagster's runs and events are in the database of DAGSTER_POSTGRES_URL; back up that database separately."
        )
    if made.engine != "duckdb":
        console.say("It contains schemas raw and ops; the next nightly run builds staging, marts and reports.")


@commands.command()
def restore(
    file: Annotated[Path, typer.Argument(help="An archive written by `debitura backup`.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace existing data; it is moved aside within the data directory.")
    ] = False,
) -> None:
    """Restore a backup, after verifying all of it."""
    settings = load_settings()
    with without_dev(settings, "restore"), exclusive_run(settings, "restore", is_restore=True):
        from debitura_pipeline.backup import restore as run_restore
        from debitura_pipeline.cli import console
        from debitura_pipeline.sync import check_certificates

        done = run_restore(settings, file, replace=replace)
    rows = sum(table.rows for name, table in done.manifest.tables.items() if name.startswith("raw."))
    console.say(f"Restored the backup of {done.manifest.created_at}: {rows:,} rows in raw, identical to the backup.")
    findings = check_certificates(load_settings()).findings
    failed = sum(1 for finding in findings if finding.faults)
    console.say(f"{counted(len(findings), 'certificate')} checked, {failed} failed")
    if done.aside is not None:
        console.say(f"The previous data is in {done.aside}")
    if done.manifest.dagster != "sqlite":
        console.say("Dagster's runs and events are not included; they are in the database of DAGSTER_POSTGRES_URL.")
    console.say("The next nightly run creates the published files and the report.")
