"""Is everything in order, and if not, how is it mended? The body of `debitura doctor`.

Belongs here: checks that change nothing, and the cure for each fault. Does not: printing. Called by `cli.py`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

from debitura_pipeline.api.connect import Tools, open_client
from debitura_pipeline.api.exchange import Timeouts
from debitura_pipeline.errors import DebituraError, WarehouseDamaged, WarehouseError
from debitura_pipeline.orchestration.endpoint import connect
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync.run import read_me
from debitura_pipeline.warehouse.identity import api_name, check_identity
from debitura_pipeline.warehouse.open import check_neighbours, described, is_there, open_warehouse
from debitura_pipeline.warehouse.run_lock import run_under_way

MIN_FREE_BYTES = 2 * 1024**3  # landing, warehouse and published copy of a few hundred thousand rows
API_WITHIN_S = 8.0  # one try: whoever asks what is wrong is waiting
NO_WAIT_S = 1.0  # a warehouse that is busy has a line of its own
PACKAGES = (
    "dagster",
    "dagster-dbt",
    "dagster-postgres",
    "dbt-core",
    "dbt-duckdb",
    "duckdb",
    "httpx",
    "pandas",
    "pyarrow",
)


@dataclass(frozen=True)
class Diagnosis:
    """One check: what was looked at, whether it is well, what was seen, and the cure where it is not."""

    what: str
    is_well: bool
    seen: str
    cure: str = ""


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """All checks, the cheap ones first; each yields as soon as it is known."""
    checks: tuple[Callable[[Settings], Iterator[Diagnosis]], ...] = (
        _versions, _variables, _disk, _warehouse, _identity, _api,
    )  # fmt: skip
    for check in checks:
        yield from check(settings)


def _versions(_: Settings) -> Iterator[Diagnosis]:
    is_known = (3, 11) <= sys.version_info < (3, 14)
    seen = ".".join(map(str, sys.version_info[:3]))
    yield Diagnosis("Python", is_known, seen, "Remove .venv, then `make setup PYTHON=python3.11` (3.11 to 3.13).")
    missing, found = [], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
    yield Diagnosis("packages", not missing, ", ".join(found), f"Missing: {', '.join(missing)}. Run `make setup`.")


def _variables(_: Settings) -> Iterator[Diagnosis]:
    """They were read before there was anything to examine; a wrong one ends every command."""
    yield Diagnosis("settings", True, "read and checked")


def _disk(settings: Settings) -> Iterator[Diagnosis]:
    folder = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    writable = os.access(folder, os.W_OK)
    yield Diagnosis(
        "data directory",
        writable and free >= MIN_FREE_BYTES,
        f"{settings.data_dir}, {free / 1024**3:.0f} GiB free" + ("" if writable else ", not writable"),
        "Free some space or set DEBITURA_DATA_DIR to a folder that you may write to.",
    )
    run = run_under_way(settings)
    yield Diagnosis("run", True, f"under way: {run}" if run else "none is under way")
    key = settings.data_dir / "privacy.key"
    if key.exists():
        mode = key.stat().st_mode & 0o777
        yield Diagnosis("privacy key", mode == 0o600, f"mode {mode:o}", f"Run `chmod 600 {key}`.")


def _warehouse(settings: Settings) -> Iterator[Diagnosis]:
    where = described(settings)
    try:
        check_neighbours(settings)
        if not is_there(settings):
            yield Diagnosis("warehouse", True, f"{where} holds nothing yet; the first run makes it")
            return
        with open_warehouse(settings, read_only=True) as warehouse:
            live = warehouse.rows("SELECT count(*) FROM raw.transactions WHERE _deleted_at IS NULL")[0][0]
        yield Diagnosis("warehouse", True, f"{where}, {live:,} live transactions")
    except DebituraError as error:
        cure = "Close the program that has it open, or see DEBITURA_WAREHOUSE."
        if isinstance(error, WarehouseDamaged):
            cure = "Move the file away (its .wal, too), then `debitura replay` rebuilds it from the landing zone."
        elif "strangers" in error.facts:
            cure = "No run touches the database as it is; see the README on databases that others use too."
        yield Diagnosis("warehouse", False, str(error), cure)


def _identity(settings: Settings) -> Iterator[Diagnosis]:
    """Whose data this is, as far as it can be told without the API."""
    try:
        known = check_identity(settings, wait_s=NO_WAIT_S)
    except WarehouseError:  # which has a line of its own
        return
    except DebituraError as error:
        yield Diagnosis("identity", False, str(error), "Without it no run reads or changes anything.")
        return
    holds = f"data of {api_name(settings)}" if any(known.places()) else "nothing is kept yet; the first run decides"
    yield Diagnosis("identity", True, holds)


def _api(settings: Settings) -> Iterator[Diagnosis]:
    where = settings.api_url or "embedded sandbox"
    try:
        check_identity(settings, with_warehouse=False)
    except DebituraError:  # which has a line of its own; a sandbox must not move in
        return
    try:
        with connect(settings) as endpoint:
            mode = asyncio.run(_ask(settings, endpoint))
        yield Diagnosis("API", True, f"{where} answers; invoicing trigger mode {mode or 'not stated'}")
    except DebituraError as error:
        yield Diagnosis("API", False, str(error), "Check DEBITURA_ENVIRONMENT, DEBITURA_API_KEY and the network.")


async def _ask(settings: Settings, endpoint: Endpoint) -> str | None:
    """The partner's mode. Raises IdentityRefused where the data directory or the warehouse belong to another partner."""
    try:
        async with (
            asyncio.timeout(API_WITHIN_S),
            open_client(settings, endpoint, Tools(timeouts=Timeouts(3.0, 5.0, 6.0), tries=1)) as client,
        ):
            (mode, _), partner_id = await read_me(client)
    except TimeoutError:
        raise DebituraError(f"No answer within {API_WITHIN_S:.0f} s; the request budget may be spent.") from None
    with suppress(WarehouseError):  # which has a line of its own
        check_identity(settings, wait_s=NO_WAIT_S).of_partner(partner_id)
    return mode
