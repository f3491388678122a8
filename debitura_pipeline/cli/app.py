"""The console command `debitura`: the Typer app, the options that all commands share, and the entry point `main`.

The commands are in `cli/commands/`, exit statuses in `cli/exit_status.py`. Heavy imports wait until a command needs them and
has the run lock: `--help` is fast, and so is the message that another run is in progress.
"""

from __future__ import annotations

from debitura_pipeline import interrupts

interrupts.from_start()  # the imports below take a second on a busy machine

import gc
import sys
from contextlib import nullcontext
from typing import Annotated, Any, NoReturn

import typer

from debitura_pipeline import notes
from debitura_pipeline.cli import json_document
from debitura_pipeline.cli.commands import (
    backup,
    cases,
    clients,
    dev,
    inspect,
    landing,
    migrate,
    partners,
    pull,
    query,
    report,
    run,
    sandbox,
    tour,
    webhooks,
    worker,
)
from debitura_pipeline.cli.exit_status import INTERRUPTED, discard_output, exit_status_of, report_unraisable
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import choose_partner
from debitura_pipeline.without_packages import without_pandas

SHARED_OPTIONS = {"-q", "--quiet", "-v", "--verbose", "--version"}
PARTNER = "--partner"
COMMANDS_WITHOUT_PANDAS = {"sync", "status", "replay", "verify", "reconcile", "query", "migrate"}
# Allocations between two runs of the cyclic garbage collector. With Python's default of 700, collection takes 2.5 % of a
# command's CPU, most of it during imports; there are few cycles here.
GC_THRESHOLD = 20_000

app = typer.Typer(
    help="Extract, verify and report the cases and referral revenue of a Debitura partner's clients.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for group in (run, landing, backup, migrate, inspect, query, pull, report, dev, worker, tour):
    app.add_typer(group.commands)
app.add_typer(sandbox.commands, name="sandbox")
app.add_typer(webhooks.commands, name="webhooks")
app.add_typer(clients.commands, name="clients")
app.add_typer(cases.commands, name="cases")
app.add_typer(partners.commands, name="partners")


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        sys.stdout.write(f"debitura {version('debitura-pipeline')}\n")
        raise typer.Exit


@app.callback()
def shared_options(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only errors, open problems and the last line.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also log each request and window, with timestamps.")
    ] = False,
    partner: Annotated[
        list[str] | None,
        typer.Option(PARTNER, metavar="NAME", help="The partner to work for, of those in the file DEBITURA_PARTNERS."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Apply the shared options, which are accepted before and after the command's name. Raises SettingsError."""
    if quiet and verbose:
        raise SettingsError("--quiet and --verbose cannot be combined. Example: debitura --quiet nightly")
    notes.choose(is_quiet=quiet, is_verbose=verbose)
    if partner and len(partner) > 1:
        raise SettingsError(
            f"{PARTNER} is given more than once: {', '.join(partner)}. Example: debitura {PARTNER} acme status"
        )
    for name in partner or ():
        choose_partner(name)


def main() -> NoReturn:
    """Run the command given in `sys.argv` and exit. Expected failures print one line, never a stack trace."""
    sys.unraisablehook = report_unraisable
    notes.choose(is_quiet=False, is_verbose=False)
    arguments = shared_first(sys.argv[1:])
    command = next((argument for argument in arguments if not argument.startswith("-")), None)
    gc.set_threshold(GC_THRESHOLD)
    with interrupts.caught(), without_pandas() if command in COMMANDS_WITHOUT_PANDAS else nullcontext():
        status = exit_status_of(lambda: click_command()(args=arguments))
        is_interrupted = bool(status) and (status == INTERRUPTED or interrupts.was_interrupted())
        _finish(INTERRUPTED if is_interrupted else status, arguments)
        if is_interrupted:
            interrupts.end_now()
    sys.exit(status)


def click_command() -> Any:
    """The Click command of the whole app. Flags take no value, so their help shows no type and no default."""
    command = typer.main.get_command(app)
    found = [command]
    while found:
        each = found.pop()
        found += getattr(each, "commands", {}).values()
        options: list[Any] = [*each.params, each.get_help_option(typer.Context(each, **each.context_settings))]
        for option in options:
            if getattr(option, "is_flag", False):
                option.metavar, option.show_default = "", False
    return command


def shared_first(arguments: list[str]) -> list[str]:
    """Move shared options from anywhere on the command line to the front. `sandbox serve` parses its own options."""
    if arguments[:2] == ["sandbox", "serve"]:
        return arguments
    end = arguments.index("--") if "--" in arguments else len(arguments)
    shared: list[str] = []
    others: list[str] = []
    words = iter(arguments[:end])
    for word in words:
        if word == PARTNER and (name := next(words, None)) is not None:
            shared.append(f"{PARTNER}={name}")
        else:
            (shared if word in SHARED_OPTIONS or word.startswith(f"{PARTNER}=") else others).append(word)
    return shared + others + arguments[end:]


def _finish(status: int, arguments: list[str]) -> None:
    """Print the last line of a quiet command, or the JSON document."""
    try:
        if console := sys.modules.get("debitura_pipeline.cli.console"):
            console.print_last_line()
        if status == INTERRUPTED:
            json_document.fail(interrupts.MESSAGE)
        json_document.finish(status, arguments)
    except BrokenPipeError:
        discard_output()
