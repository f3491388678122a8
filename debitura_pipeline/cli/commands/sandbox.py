"""`debitura sandbox …`: the simulated API on its own, and changes to the embedded one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import Settings, load_settings

commands = typer.Typer(help="The simulated API.", no_args_is_help=True)


@commands.command(
    "serve",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
)
def serve(context: typer.Context) -> None:
    """Run the simulated API on its own until Ctrl-C; `--help` lists its options (port, seed, sizes)."""
    from debitura_sandbox.server.cli import main, read_arguments

    main(read_arguments(context.args))


@commands.command("advance")
def advance(days: Annotated[int, typer.Option(min=1, help="Number of days to advance.")] = 1) -> None:
    """Advance the embedded sandbox by --days days, whether it is running or not."""
    from debitura_pipeline.cli import console
    from debitura_sandbox.server import embedded

    day = embedded.advance(_sandbox_settings().data_dir, days)
    console.say(f"The sandbox is at day {day}.")


@commands.command("add-client")
def add_client(
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Add clients that have not signed yet.")] = False,
    cases: Annotated[int, typer.Option(min=0, help="Cases per client.")] = 12,
    transactions: Annotated[int, typer.Option(min=0, help="Transactions per client.")] = 20,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Number of clients to add.")] = 1,
) -> None:
    """Add clients to the embedded sandbox; a running `debitura dev` picks them up."""
    from debitura_pipeline.cli import console
    from debitura_sandbox.server import embedded

    folder = _sandbox_settings().data_dir
    added = embedded.add_clients(folder, count, is_signed=not unsigned, cases=cases, transactions=transactions)
    for client in added:
        console.say(f"Added client {client['tenant']}" + (", not signed yet." if unsigned else "."))


@commands.command("sign")
def sign(tenant: Annotated[str, typer.Argument(help="The client's external tenant id.")]) -> None:
    """Sign the contracts of a client of the embedded sandbox."""
    from debitura_pipeline.cli import console
    from debitura_sandbox.server import embedded

    embedded.sign_client(_sandbox_settings().data_dir, tenant)
    console.say(f"{tenant} has signed.")


@commands.command("demo-roster")
def demo_roster(
    file: Annotated[Path, typer.Argument(help="The CSV file to write.")],
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Number of clients.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the random data.")] = 7,
    conflicts: Annotated[
        bool, typer.Option("--conflicts", help="Add clients that the API answers with a conflict or a refusal.")
    ] = False,
    invalid: Annotated[bool, typer.Option("--invalid", help="Add rows that each break one rule.")] = False,
) -> None:
    """Write a roster of invented clients that the sandbox accepts."""
    from debitura_sandbox.demo.files import write_roster

    _say_written(file, lambda: write_roster(file, count, seed=seed, with_conflicts=conflicts, with_invalid=invalid))


@commands.command("demo-claims")
def demo_claims(
    file: Annotated[Path, typer.Argument(help="The CSV file to write.")],
    count: Annotated[int, typer.Option(min=1, max=100_000, help="Number of claims.")] = 12,
    roster: Annotated[
        Path | None, typer.Option(help="Roster (CSV) of their clients; the demo roster's clients by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random data.")] = 7,
    invalid: Annotated[bool, typer.Option("--invalid", help="Add rows that each break one rule.")] = False,
) -> None:
    """Write invented claims of a roster's clients that the sandbox accepts."""
    from debitura_sandbox.demo.files import read_tenants, write_claims
    from debitura_sandbox.demo.roster import demo_tenant

    def write() -> int:
        tenants = [demo_tenant(number) for number in range(5)] if roster is None else read_tenants(roster)
        return write_claims(file, count, tenants, seed=seed, with_invalid=invalid)

    _say_written(file, write)


def _say_written(file: Path, write: Callable[[], int]) -> None:
    from debitura_pipeline.cli import console

    try:
        console.say(f"Wrote {write()} rows to {file}.")
    except FileExistsError:
        raise SettingsError(f"{file} already exists; delete it or choose another name.") from None
    except (OSError, ValueError) as fault:
        raise SettingsError(f"{file} cannot be written: {fault}.") from None


def _sandbox_settings() -> Settings:
    settings = load_settings()
    if not settings.uses_embedded_sandbox:
        raise SettingsError(
            "This command needs the embedded sandbox, but DEBITURA_API_URL or DEBITURA_ENVIRONMENT selects another API. "
            "Example: DEBITURA_ENVIRONMENT=sandbox"
        )
    return settings
