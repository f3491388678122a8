"""`debitura migrate`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from debitura_pipeline import address_space
from debitura_pipeline.cli.exit_status import DONE, FAILED, NOT_PROVEN
from debitura_pipeline.warehouse.run_lock import exclusive_run, without_dev

if TYPE_CHECKING:
    from debitura_pipeline.migration import Migrated, Sides

commands = typer.Typer()

MAX_LISTED = 4


@commands.command(
    epilog="Examples:  debitura migrate --to postgresql://pipeline@host/db  |  debitura migrate --to duckdb:///data/new.duckdb"
)
def migrate(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL",
            help="Where to: an address as in DEBITURA_WAREHOUSE. A password may also come from PGPASSWORD or ~/.pgpass.",
        ),
    ],
    prefix: Annotated[
        str | None,
        typer.Option("--to-schema-prefix", metavar="PREFIX", help="The target's; DEBITURA_SCHEMA_PREFIX if omitted."),
    ] = None,
    dbt_url: Annotated[
        str | None,
        typer.Option("--to-dbt-url", metavar="URL", help="The target's DEBITURA_DBT_URL, if it has such a role."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask on a terminal.")] = False,
) -> None:
    """Copy the warehouse with its whole history to another place, DuckDB or Postgres, and compare every row.

    The source is never changed. The target must be empty, or hold the same rows already.
    """
    from debitura_pipeline.migration import read_sides

    sides = read_sides(to, prefix, dbt_url)
    if not yes and sys.stdin.isatty() and not _is_wanted(sides):
        raise typer.Exit(FAILED)
    address_space.ensure(address_space.SYNC)
    with without_dev(sides.source, "migrate"), exclusive_run(sides.source, "migrate"):
        from debitura_pipeline.cli import console
        from debitura_pipeline.migration import NotEqual, migrate_warehouse

        try:
            done = migrate_warehouse(sides, console.say)
        except NotEqual as error:
            console.complain(str(error))
            raise typer.Exit(NOT_PROVEN) from None
        _report(sides, done)
    raise typer.Exit(DONE)


def _is_wanted(sides: Sides) -> bool:
    from debitura_pipeline.warehouse.opening import describe_warehouse

    return typer.confirm(f"Copy {describe_warehouse(sides.source)} to {describe_warehouse(sides.target)}?")


def _report(sides: Sides, done: Migrated) -> None:
    """What was done, and what to do next."""
    from debitura_pipeline.cli import console
    from debitura_pipeline.migration import masked_address
    from debitura_pipeline.warehouse.opening import describe_warehouse

    if done.left_out:
        rest = len(done.left_out) - MAX_LISTED
        more = f" and {rest} more" if rest > 0 else ""
        console.say(f"Not the pipeline's, so not copied: {', '.join(done.left_out[:MAX_LISTED])}{more}")
    verb = "was copied before and is still there" if done.was_there else "copied"
    console.conclude(
        f"{describe_warehouse(sides.source)} {verb}: {describe_warehouse(sides.target)}, {done.rows:,} rows, every one equal. "
        "The source is unchanged."
    )
    address, partner = masked_address(sides.target.warehouse), sides.source.partner
    place = (
        f"DEBITURA_WAREHOUSE={address}"
        if partner is None
        else f"{partner}'s warehouse to {address} in the partners file"
    )
    console.say(f"1. Set {place}{_more_settings(sides)}")
    console.say("2. Start `debitura dev`, or restart the services; those that are running still use the old warehouse.")
    console.say(
        "3. Run `debitura nightly`: it builds staging, marts and reports there, with the history of all changes."
    )


def _more_settings(sides: Sides) -> str:
    """What else differs from the settings of today."""
    old, new = sides.source.warehouse, sides.target.warehouse
    changes = ""
    if new.schema_prefix != old.schema_prefix:
        changes += (
            f", and DEBITURA_SCHEMA_PREFIX={new.schema_prefix}"
            if new.schema_prefix
            else ", and unset DEBITURA_SCHEMA_PREFIX"
        )
    if old.dbt_dsn is not None and new.dbt_dsn is None:
        changes += ", and unset DEBITURA_DBT_URL"
    elif new.dbt_dsn is not None and new.dbt_dsn != old.dbt_dsn:
        changes += ", and DEBITURA_DBT_URL as given"
    return changes
