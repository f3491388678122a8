"""The console command `debitura`: arguments in, one function called, text (or with `--json` one document) and a status out.

Options, exit statuses, the closing words. Exit status 0 done, 1 failed or contradicted by the API's own totals, 2 bad settings
or usage, 3 a proof that does not hold, 130 interrupted. Heavy imports wait until a command needs them, and until it has the
data directory to itself: `--help` is quick, and so is being told that another run is on.
"""

from __future__ import annotations

from debitura_pipeline import interrupts

interrupts.from_start()  # what follows takes a second on a busy machine

import gc
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from debitura_pipeline import address_space, failures, notes
from debitura_pipeline.cli import json_document
from debitura_pipeline.errors import DebituraError, SettingsError
from debitura_pipeline.orchestration.nights import failure_to_start_noted
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.run_lock import exclusive_dev, exclusive_run
from debitura_pipeline.without_pandas import without_pandas

FAILED, BAD_SETTINGS, NOT_PROVEN = 1, 2, 3
SHARED = {"-q", "--quiet", "-v", "--verbose", "--version"}
WITHOUT_PANDAS = {"sync", "status", "replay", "verify", "reconcile"}
# Objects made before Python looks for cycles. Few objects here are in any; at Python's own 700 a fortieth of a command's CPU
# goes into looking, most of it while modules are loaded.
GC_THRESHOLD = 20_000

app = typer.Typer(
    help="Cases and referral revenue of a Debitura partner's clients: extracted with proof, reported with care.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
sandbox_app = typer.Typer(help="The simulated API.", no_args_is_help=True)
app.add_typer(sandbox_app, name="sandbox")


AsJson = Annotated[
    bool,
    typer.Option(
        json_document.OPTION,
        callback=json_document.begin,
        is_eager=True,
        help="One JSON document on standard output, everything else on standard error.",
    ),
]


def _tell_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        sys.stdout.write(f"debitura {version('debitura-pipeline')}\n")
        raise typer.Exit


@app.callback()
def settle(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors, open problems and the last line.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also each request and window, with the time.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="The version, and stop.")
    ] = False,
) -> None:
    """What all commands share; accepted before and after the command's name."""
    if quiet and verbose:
        raise SettingsError("--quiet and --verbose contradict each other. Example: debitura --quiet nightly")
    notes.choose(is_quiet=quiet, is_verbose=verbose)


@app.command(epilog="Examples:  debitura nightly  |  debitura --quiet nightly  |  debitura nightly --json > night.json")
def nightly(
    same_night: Annotated[
        bool,
        typer.Option("--same-night", help="Embedded sandbox only: do not move its world a day on."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the main job once: extract, prove, merge, dbt, report, publish."""
    settings = load_settings()
    with failure_to_start_noted(settings), exclusive_run(settings, "nightly"):
        address_space.ensure(address_space.NIGHT)
        from debitura_pipeline.cli.nightly import run_nightly

        status = run_nightly(settings, advance=not same_night)
    raise typer.Exit(status)


@app.command(
    epilog="Examples:  debitura sync --plan  |  debitura sync --only cases,transactions  |  debitura sync --full"
)
def sync(
    full: Annotated[bool, typer.Option("--full", help="Read everything, whatever the plan.")] = False,
    only: Annotated[
        str | None,
        typer.Option(help="Resources to sync, comma-separated: clients,cases,transactions.", metavar="RESOURCES"),
    ] = None,
    allow_shrink: Annotated[
        bool,
        typer.Option("--allow-shrink", help="Accept a reading that marks many rows deleted."),
    ] = False,
    only_plan: Annotated[bool, typer.Option("--plan", help="Show what would be read and its cost, and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Extraction alone: read, prove and merge, without reports."""
    settings = load_settings()
    address_space.ensure(address_space.SYNC)
    with nullcontext() if only_plan else exclusive_run(settings, "sync"):
        from debitura_pipeline.cli import syncing

        resources = _resources(only)
        if only_plan:
            syncing.tell_plan(settings, resources, full=full)
            return
        is_held = syncing.run(settings, resources, full=full, allow_shrink=allow_shrink)
    raise typer.Exit(0 if is_held else FAILED)


@app.command()
def replay() -> None:
    """Rebuild `raw` from the landing zone, without the API."""
    settings = load_settings()
    address_space.ensure(address_space.SYNC)
    with exclusive_run(settings, "replay"):
        from debitura_pipeline.cli import console
        from debitura_pipeline.sync import replay as run_replay

        rows = run_replay(settings)
    console.say("Rebuilt from the landing zone: " + ", ".join(f"{count:,} {name}" for name, count in rows.items()))


@app.command(epilog="Examples:  debitura verify  |  debitura verify --sync 20260401T020000Z-cases-1a2b3c")
def verify(
    sync_id: Annotated[
        str | None, typer.Option("--sync", help="One sync's id; without it, all of them.", metavar="ID")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the certificates of past syncs against the landing zone, offline."""
    from debitura_pipeline.cli.proving import tell_verification

    raise typer.Exit(0 if tell_verification(load_settings(), sync_id) else NOT_PROVEN)


@app.command()
def repair(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, only say what would be done.")] = False,
) -> None:
    """A way out of a damaged journal or landing folder: says what it would do, `--yes` does it."""
    from debitura_pipeline.cli import console
    from debitura_pipeline.sync import repair as run_repair

    repairs = run_repair(load_settings(), apply=yes)
    for one in repairs:
        console.say(one.words)
    if not repairs:
        console.say("The landing zone and the warehouse agree; nothing to repair.")
    elif yes:
        console.say(f"{len(repairs)} repaired; what was moved away is below {load_settings().data_dir / 'aside'}")
    else:
        console.say(f"{len(repairs)} to repair; nothing was touched. `debitura repair --yes` does it.")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The archive to write, for example /backups/debitura.tar.gz.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE where it is there already.")] = False,
) -> None:
    """Warehouse, landing zone, privacy key and Dagster's storage in one file; no API key."""
    settings = load_settings()
    with exclusive_run(settings, "backup"):
        from debitura_pipeline.backup import back_up
        from debitura_pipeline.cli import console

        made = back_up(settings, file, force=force)
    console.say(
        f"Backed up {len(made.members):,} files into {file}. It holds the privacy key: keep it where nobody else reads."
    )
    if made.dagster != "sqlite":
        console.say("Dagster's runs and events are in the database of DAGSTER_POSTGRES_URL; back that up by itself.")
    if made.engine != "duckdb":
        console.say("Schemas raw and ops are in it; staging, marts and reports are built by the next night.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="An archive of `debitura backup`.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Move aside what is there, below the data directory, and replace it.")
    ] = False,
) -> None:
    """Put a backup back, after every byte of it was checked."""
    settings = load_settings()
    with exclusive_dev(settings), exclusive_run(settings, "restore", is_restore=True):
        from debitura_pipeline.backup import restore as run_restore
        from debitura_pipeline.cli import console
        from debitura_pipeline.sync import check_certificates

        done = run_restore(settings, file, replace=replace)
    rows = sum(table.rows for name, table in done.manifest.tables.items() if name.startswith("raw."))
    console.say(f"Restored the backup of {done.manifest.created_at}: {rows:,} rows in raw, as they were.")
    findings = check_certificates(load_settings()).findings
    broken = sum(1 for finding in findings if finding.faults)
    console.say(f"{len(findings)} certificates checked; {broken} do not hold")
    if done.aside is not None:
        console.say(f"What was there before is in {done.aside}")
    if done.manifest.dagster != "sqlite":
        console.say("Dagster's runs and events are not part of it; they are in the database of DAGSTER_POSTGRES_URL.")
    console.say("Published files and the report are made by the next night.")


@app.command(epilog="Examples:  debitura reconcile  |  debitura reconcile --json")
def reconcile(as_json: AsJson = False) -> None:
    """Ask the API for its own totals and compare; nothing is changed."""
    from debitura_pipeline.cli.proving import tell_reconciliation

    raise typer.Exit(0 if tell_reconciliation(load_settings()) else NOT_PROVEN)


@app.command(epilog="Examples:  debitura status  |  debitura status --json  |  debitura --quiet status --exit-code")
def status(
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="For monitoring: exit with 1 where there are open problems.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The last nights, what is published, last syncs, the queue, the request budget, and open problems."""
    from debitura_pipeline.cli.status import tell_status

    found = tell_status(load_settings())
    json_document.give(**found)
    if exit_code and found["problems"]:
        json_document.fail("; ".join(found["problems"]))
        raise typer.Exit(FAILED)


@app.command(epilog="Examples:  debitura doctor  |  debitura doctor --grant-sql > grant.sql")
def doctor(
    grant_sql: Annotated[
        bool,
        typer.Option("--grant-sql", help="Print the SQL for the roles of a Postgres warehouse, and stop."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Settings, API, warehouse and versions; says how to mend each fault."""
    if grant_sql:
        from debitura_pipeline.warehouse.postgres.roles import grant_sql as text_for
        from debitura_pipeline.warehouse.postgres.schemas import Schemas

        sql = text_for(Schemas(load_settings().warehouse.schema_prefix))
        sys.stdout.write(sql)
        json_document.give(grant_sql=sql)
        return
    from debitura_pipeline.cli import console
    from debitura_pipeline.doctor import examine

    found = []
    for diagnosis in examine(load_settings()):
        found.append(diagnosis)
        if diagnosis.is_well:
            console.say(f"ok  {diagnosis.what}: {diagnosis.seen}")
        else:
            console.warn(f"BAD {diagnosis.what}: {diagnosis.seen}")
            console.warn(f"    {diagnosis.cure}")
            json_document.fail(f"{diagnosis.what}: {diagnosis.seen}")
    facts = [
        {"what": d.what, "is_well": d.is_well, "seen": d.seen, "cure": None if d.is_well else d.cure} for d in found
    ]
    json_document.give(diagnoses=facts)
    raise typer.Exit(0 if all(diagnosis.is_well for diagnosis in found) else BAD_SETTINGS)


@app.command()
def dev(
    port: Annotated[int | None, typer.Option(help="Port of the web interface; a free one if not given.")] = None,
) -> None:
    """Dagster's UI, daemon, schedule and sensors, on the same settings; the sandbox too where it is used."""
    settings = load_settings()
    with exclusive_dev(settings):
        from debitura_pipeline.supervision.dev import run_dev

        raise typer.Exit(run_dev(settings, port))


@sandbox_app.command(
    "serve",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
)
def sandbox_serve(context: typer.Context) -> None:
    """Run the simulated API by itself until Ctrl-C; `--help` lists its options (port, seed, sizes, faults)."""
    from debitura_sandbox.server.cli import main as serve
    from debitura_sandbox.server.cli import read_arguments

    serve(read_arguments(context.args))


@sandbox_app.command("advance")
def sandbox_advance(days: Annotated[int, typer.Option(min=1, help="Days to move the world on.")] = 1) -> None:
    """Move the embedded sandbox's world on, running or not."""
    from debitura_pipeline.cli import console
    from debitura_sandbox.server import embedded

    day = embedded.advance(_sandbox_settings().data_dir, days)
    console.say(f"The sandbox's world is at day {day}.")


@sandbox_app.command("add-client")
def sandbox_add_client(
    unsigned: Annotated[bool, typer.Option("--unsigned", help="The client still has to sign.")] = False,
    cases: Annotated[int, typer.Option(min=0, help="Cases that it brings.")] = 12,
    transactions: Annotated[int, typer.Option(min=0, help="Transactions on these.")] = 20,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Clients to add.")] = 1,
) -> None:
    """Add clients to the embedded sandbox; with `debitura dev` running, the sensor finds them."""
    from debitura_pipeline.cli import console
    from debitura_sandbox.server import embedded

    folder = _sandbox_settings().data_dir
    added = embedded.add_clients(folder, count, is_signed=not unsigned, cases=cases, transactions=transactions)
    for client in added:
        console.say(f"Added client {client['tenant']}" + (", still to sign." if unsigned else "."))


@sandbox_app.command("sign")
def sandbox_sign(tenant: Annotated[str, typer.Argument(help="The client's external tenant id.")]) -> None:
    """Let a client of the embedded sandbox sign its contracts."""
    from debitura_pipeline.cli import console
    from debitura_sandbox.server import embedded

    embedded.sign_client(_sandbox_settings().data_dir, tenant)
    console.say(f"{tenant} has signed.")


def _sandbox_settings() -> Settings:
    settings = load_settings()
    if not settings.uses_embedded_sandbox:
        raise SettingsError(
            "DEBITURA_API_URL or DEBITURA_ENVIRONMENT points at an API; this is for the embedded sandbox. "
            "Example: DEBITURA_ENVIRONMENT=sandbox"
        )
    return settings


def _resources(only: str | None) -> tuple[str, ...]:
    from debitura_pipeline.sync import RESOURCES

    if only is None:
        return RESOURCES
    named = [name.strip() for name in only.split(",")]
    wanted = tuple(dict.fromkeys(name for name in named if name))
    unknown = [name for name in wanted if name not in RESOURCES]
    if not wanted:
        raise SettingsError(f"--only names no resource; it knows {', '.join(RESOURCES)}. Example: --only cases")
    if unknown:
        raise SettingsError(
            f"--only knows {', '.join(RESOURCES)}, not {', '.join(unknown)}. Example: --only cases,transactions"
        )
    return wanted


def main() -> NoReturn:
    """Entry point: run the command; an expected failure is one line and a status, never a stack trace."""
    sys.unraisablehook = _unraisable
    notes.choose(is_quiet=False, is_verbose=False)
    arguments = shared_first(sys.argv[1:])
    command = next((argument for argument in arguments if not argument.startswith("-")), None)
    gc.set_threshold(GC_THRESHOLD)
    with interrupts.caught(), without_pandas() if command in WITHOUT_PANDAS else nullcontext():
        status = _status_of(lambda: commands()(args=arguments))
        is_interrupted = bool(status) and (status == interrupts.INTERRUPTED or interrupts.was_interrupted())
        _finish(interrupts.INTERRUPTED if is_interrupted else status, arguments)
        if is_interrupted:
            interrupts.end_now()
    sys.exit(status)


def commands() -> Any:
    """All commands, ready to be called. A switch takes no value, so help should not show a type for one."""
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
    """Options that all commands share, wherever they stand, before the command's name. `sandbox serve` has its own."""
    if arguments[:2] == ["sandbox", "serve"]:
        return arguments
    end = arguments.index("--") if "--" in arguments else len(arguments)
    shared = [argument for argument in arguments[:end] if argument in SHARED]
    return shared + [argument for argument in arguments[:end] if argument not in SHARED] + arguments[end:]


def _finish(status: int, arguments: list[str]) -> None:
    """The last line of a quiet command, the document of one that was asked for it."""
    try:
        if console := sys.modules.get("debitura_pipeline.cli.console"):
            console.finish()
        if status == interrupts.INTERRUPTED:
            json_document.fail(interrupts.MESSAGE)
        json_document.finish(status, arguments)
    except BrokenPipeError:
        _drop_output()


def _status_of(run: Callable[[], object]) -> int:
    try:
        run()
    except SystemExit as ended:
        if said := getattr(ended.__context__, "format_message", None):  # how the command line was misunderstood
            json_document.fail(said())
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else FAILED
    except SettingsError as error:
        _complain(str(error))
        return BAD_SETTINGS
    except DebituraError as error:
        return _failed(str(error) if error.cure else failures.completed(str(error), _settings_or_none()))
    except KeyboardInterrupt:
        return interrupts.INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return FAILED
    except Exception as error:  # noqa: BLE001 - nobody is above
        return _failed(failures.one_line(error, _settings_or_none()) or failures.stack_trace(error))
    return 0


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """What fails while something is being torn down: nothing to add where the command says already what is wrong."""
    error = unraisable.exc_value
    if error is not None and not interrupts.was_interrupted() and failures.one_line(error, None) is None:
        _complain(failures.stack_trace(error))


def _settings_or_none() -> Settings | None:
    try:
        return load_settings()
    except Exception:  # noqa: BLE001 - only asked for words
        return None


def _failed(text: str) -> int:
    """Say why, but not beside the line of an interruption, which is then the reason."""
    if not interrupts.was_interrupted():
        _complain(text)
    return FAILED


def _complain(text: str) -> None:
    json_document.fail(_last_line(text))
    sys.stderr.write((text if text.startswith("Traceback") else " ".join(text.split())) + "\n")


def _last_line(text: str) -> str:
    """An error in one line: of a stack trace what it ends with, less what it may quote."""
    return text.strip().splitlines()[-1] if text.startswith("Traceback") else text
