"""The console command `debitura`: arguments in, one function called, text and an exit status out.

Options, exit statuses, the closing words. Exit status 0 done, 1 failed or contradicted by the API's own totals, 2 bad settings
or usage, 3 a proof that does not hold, 130 interrupted. Heavy imports wait until a command needs them, and until it has the
data directory to itself: `--help` is quick, and so is being told that another run is on.
"""

from __future__ import annotations

from debitura_pipeline import interrupts

interrupts.from_start()  # what follows takes a second on a busy machine

import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from debitura_pipeline import failures
from debitura_pipeline.errors import DebituraError, SettingsError
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.run_lock import exclusive_dev, exclusive_run

FAILED, BAD_SETTINGS, NOT_PROVEN = 1, 2, 3

app = typer.Typer(
    help="Cases and referral revenue of a Debitura partner's clients: extracted with proof, reported with care.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
sandbox_app = typer.Typer(help="The simulated API.", no_args_is_help=True)
app.add_typer(sandbox_app, name="sandbox")


@app.command()
def nightly(
    same_night: Annotated[
        bool, typer.Option("--same-night", help="Embedded sandbox only: do not move its world a day on.")
    ] = False,
) -> None:
    """Run the main job once: extract, prove, merge, dbt, report, publish."""
    settings = load_settings()
    with exclusive_run(settings, "nightly"):
        from debitura_pipeline.nightly import run_nightly

        raise typer.Exit(run_nightly(settings, advance=not same_night))


@app.command()
def sync(
    full: Annotated[bool, typer.Option("--full", help="Read everything, whatever the plan.")] = False,
    only: Annotated[
        str | None, typer.Option(help="Resources to sync, comma-separated: clients,cases,transactions.")
    ] = None,
    allow_shrink: Annotated[
        bool, typer.Option("--allow-shrink", help="Accept a reading that marks many rows deleted.")
    ] = False,
    only_plan: Annotated[bool, typer.Option("--plan", help="Show what would be read and its cost, and stop.")] = False,
) -> None:
    """Extraction alone: read, prove and merge, without reports."""
    settings = load_settings()
    with nullcontext() if only_plan else exclusive_run(settings, "sync"):
        from debitura_pipeline import console
        from debitura_pipeline.orchestration.endpoint import connect
        from debitura_pipeline.sync import foresee
        from debitura_pipeline.sync import sync as run_sync
        from debitura_pipeline.warehouse.identity import check_identity

        resources = _resources(only)
        check_identity(settings, with_warehouse=False)  # before an embedded sandbox moves in
        if only_plan:
            with connect(settings) as endpoint:
                console.out.print(console.plan_table(foresee(settings, endpoint, resources, full=full)))
            return
        with connect(settings) as endpoint, console.shown_progress() as progress:
            reports = run_sync(settings, endpoint, resources, full=full, allow_shrink=allow_shrink, progress=progress)
        console.out.print(console.sync_table(reports))
        raise typer.Exit(0 if console.tell_proof(reports) else FAILED)


@app.command()
def replay() -> None:
    """Rebuild `raw` from the landing zone, without the API."""
    settings = load_settings()
    with exclusive_run(settings, "replay"):
        from debitura_pipeline import console
        from debitura_pipeline.sync import replay as run_replay

        rows = run_replay(settings)
    console.say("Rebuilt from the landing zone: " + ", ".join(f"{count:,} {name}" for name, count in rows.items()))


@app.command()
def verify(
    sync_id: Annotated[str | None, typer.Option("--sync", help="One sync's id; without it, all of them.")] = None,
) -> None:
    """Check the certificates of past syncs against the landing zone, offline."""
    from debitura_pipeline import console
    from debitura_pipeline.sync import check_certificates

    verification = check_certificates(load_settings(), sync_id)
    findings = verification.findings
    for note in verification.notes:
        console.say(note)
    if sync_id is not None and not findings:
        raise DebituraError(f"No finished sync {sync_id} in the landing zone; `debitura status` shows the last ones.")
    for finding in findings:
        for fault in finding.faults:
            console.say(f"{finding.sync_id}: {fault}")
    broken = sum(1 for finding in findings if finding.faults)
    windows, keys = sum(f.windows for f in findings), sum(f.keys for f in findings)
    console.say(f"{len(findings)} certificates, {windows:,} windows, {keys:,} keys checked; {broken} do not hold")
    raise typer.Exit(NOT_PROVEN if broken else 0)


@app.command()
def repair(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, only say what would be done.")] = False,
) -> None:
    """A way out of a damaged journal or landing folder: says what it would do, `--yes` does it."""
    from debitura_pipeline import console
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
        from debitura_pipeline import console
        from debitura_pipeline.backup import back_up

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
        from debitura_pipeline import console
        from debitura_pipeline.backup import restore as run_restore
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


@app.command()
def reconcile() -> None:
    """Ask the API for its own totals and compare; nothing is changed."""
    from debitura_pipeline import console
    from debitura_pipeline.orchestration.endpoint import connect
    from debitura_pipeline.sync import reconcile as run_reconcile
    from debitura_pipeline.warehouse.identity import check_identity

    settings = load_settings()
    check_identity(settings, with_warehouse=False)
    with connect(settings) as endpoint:
        totals = run_reconcile(settings, endpoint)
    places = [total for total in totals if total.check_name == "place"]
    shown = [total for total in totals if total not in places and (total.scope == "all" or total.verdict == "differs")]
    console.out.print(console.totals_table(shown))
    for place in places:
        console.say(console.place_line(place))
    compared = [total for total in totals if total not in places]
    differing = sum(1 for total in compared if total.verdict == "differs")
    open_ = sum(1 for total in compared if total.verdict == "unproven")
    also = f", {open_} could not be compared" if open_ else ""
    console.say(f"{len(compared)} totals compared, per client included; {differing} differ{also}")
    raise typer.Exit(NOT_PROVEN if differing else 0)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="As one JSON document.")] = False) -> None:
    """Last syncs, row counts, freshness, open problems."""
    from debitura_pipeline import console
    from debitura_pipeline.sync import read_status
    from debitura_pipeline.warehouse.open import is_there

    settings = load_settings()
    if not is_there(settings):
        empty = {"resources": {}, "quarantined": 0, "drift": 0, "problems": ["nothing was synced yet"]}
        console.say(json.dumps(empty) if as_json else "Nothing was synced yet; `make nightly` runs the main job.")
        return
    found = {"is_simulated": settings.uses_embedded_sandbox, **read_status(settings)}
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    console.out.print(console.status_table(found))
    for problem in found["problems"]:
        console.say(f"open: {problem}")
    if not found["problems"]:
        console.say("No open problems.")
    if settings.uses_embedded_sandbox:
        console.say(console.SIMULATED)


@app.command()
def doctor(
    grant_sql: Annotated[
        bool, typer.Option("--grant-sql", help="Print the SQL for the roles of a Postgres warehouse, and stop.")
    ] = False,
) -> None:
    """Settings, API, warehouse and versions; says how to mend each fault."""
    if grant_sql:
        from debitura_pipeline.warehouse.roles import grant_sql as text_for
        from debitura_pipeline.warehouse.schemas import Schemas

        sys.stdout.write(text_for(Schemas(load_settings().warehouse.schema_prefix)))
        return
    from debitura_pipeline import console
    from debitura_pipeline.doctor import examine

    is_well = True
    for diagnosis in examine(load_settings()):
        is_well = is_well and diagnosis.is_well
        console.say(f"{'ok ' if diagnosis.is_well else 'BAD'} {diagnosis.what}: {diagnosis.seen}")
        if not diagnosis.is_well:
            console.say(f"    {diagnosis.cure}")
    raise typer.Exit(0 if is_well else BAD_SETTINGS)


@app.command()
def dev(
    port: Annotated[int | None, typer.Option(help="Port of the web interface; a free one if not given.")] = None,
) -> None:
    """Dagster's UI, daemon, schedule and sensors, on the same settings; the sandbox too where it is used."""
    settings = load_settings()
    with exclusive_dev(settings):
        from debitura_pipeline.orchestration.dev import run_dev

        raise typer.Exit(run_dev(settings, port))


@sandbox_app.command(
    "serve",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
)
def sandbox_serve(context: typer.Context) -> None:
    """Run the simulated API by itself until Ctrl-C; `--help` lists its options (port, seed, sizes, faults)."""
    from debitura_pipeline.sandbox.serve import main as serve
    from debitura_pipeline.sandbox.serve import read_arguments

    serve(read_arguments(context.args))


@sandbox_app.command("advance")
def sandbox_advance(days: Annotated[int, typer.Option(min=1, help="Days to move the world on.")] = 1) -> None:
    """Move the embedded sandbox's world on, running or not."""
    from debitura_pipeline import console
    from debitura_pipeline.sandbox import embedded

    day = embedded.advance(_sandbox_settings().data_dir, days)
    console.say(f"The sandbox's world is at day {day}.")


@sandbox_app.command("add-client")
def sandbox_add_client(
    unsigned: Annotated[bool, typer.Option("--unsigned", help="The client still has to sign.")] = False,
    cases: Annotated[int, typer.Option(min=0, help="Cases that it brings.")] = 12,
    transactions: Annotated[int, typer.Option(min=0, help="Transactions on these.")] = 20,
) -> None:
    """Add a client to the embedded sandbox; with `debitura dev` running, the sensor finds it."""
    from debitura_pipeline import console
    from debitura_pipeline.sandbox import embedded

    folder = _sandbox_settings().data_dir
    client = embedded.add_client(folder, is_signed=not unsigned, cases=cases, transactions=transactions)
    console.say(f"Added client {client['tenant']}" + (", still to sign." if unsigned else "."))


@sandbox_app.command("sign")
def sandbox_sign(tenant: Annotated[str, typer.Argument(help="The client's external tenant id.")]) -> None:
    """Let a client of the embedded sandbox sign its contracts."""
    from debitura_pipeline import console
    from debitura_pipeline.sandbox import embedded

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

    wanted = tuple(name.strip() for name in only.split(",")) if only is not None else RESOURCES
    unknown = [name for name in wanted if name not in RESOURCES]
    if unknown or not wanted:
        raise SettingsError(
            f"--only knows {', '.join(RESOURCES)}, not {', '.join(unknown)}. Example: --only cases,transactions"
        )
    return wanted


def main() -> NoReturn:
    """Entry point: run the command; an expected failure is one line and a status, never a stack trace."""
    sys.unraisablehook = _unraisable
    with interrupts.caught():
        status = _status_of(lambda: app(standalone_mode=True))
        if status and (status == interrupts.INTERRUPTED or interrupts.was_interrupted()):
            interrupts.end_now()
    sys.exit(status)


def _status_of(run: Callable[[], object]) -> int:
    try:
        run()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else FAILED
    except SettingsError as error:
        _complain(str(error))
        return BAD_SETTINGS
    except DebituraError as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        return interrupts.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - nobody is above
        return _failed(failures.one_line(error, _settings_or_none()) or failures.stack_trace(error))
    return 0


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
    sys.stderr.write((text if text.startswith("Traceback") else " ".join(text.split())) + "\n")
