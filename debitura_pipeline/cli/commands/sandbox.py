"""`debitura sandbox …`: the simulated API by itself, and changes to the embedded one."""

from __future__ import annotations

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
    """Advance the embedded sandbox by --days, running or not."""
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


def _sandbox_settings() -> Settings:
    settings = load_settings()
    if not settings.uses_embedded_sandbox:
        raise SettingsError(
            "This command needs the embedded sandbox, but DEBITURA_API_URL or DEBITURA_ENVIRONMENT selects another API. "
            "Example: DEBITURA_ENVIRONMENT=sandbox"
        )
    return settings
