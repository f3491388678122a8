"""Check whose data is stored, the privacy key, and whether debtor names are stored as DEBITURA_PRIVACY says."""

from __future__ import annotations

import os
from collections.abc import Iterator

from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, from_error, passed
from debitura_pipeline.errors import DebituraError, WarehouseError
from debitura_pipeline.settings import PRIVACY_KEY_FILE, Settings
from debitura_pipeline.warehouse.identity import api_name, check_identity
from debitura_pipeline.warehouse.opening import describe_warehouse, open_warehouse, warehouse_exists

NO_WAIT_S = 0.5


def examine_key(settings: Settings) -> Iterator[Diagnosis]:
    """Check mode and owner of the privacy key's file, if there is one. `examine` checks that it is the right key."""
    path = settings.data_dir / PRIVACY_KEY_FILE
    if settings.privacy_key is not None:
        yield passed("privacy key", "DEBITURA_PRIVACY_KEY")
        return
    if not path.exists():
        return
    facts = path.stat()
    if facts.st_mode & 0o777 != 0o600:
        seen = f"{path} has mode {facts.st_mode & 0o777:o}: others can read it, or you cannot replace it."
        yield failed("privacy key", seen, f"Run `chmod 600 {path}`.")
    elif facts.st_uid != os.geteuid():
        yield failed("privacy key", f"{path} belongs to another user.", f"Run `chown {os.geteuid()} {path}`.")
    else:
        yield passed("privacy key", f"{path}, mode 600; keep a copy elsewhere")


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Check that data directory and warehouse belong to the configured API and key, as far as possible without the API."""
    try:
        known = check_identity(settings, wait_s=NO_WAIT_S)
    except WarehouseError:  # reported by the check of the warehouse
        return
    except DebituraError as error:
        yield from_error("identity", error, settings)
        return
    holds = f"data of {api_name(settings)}" if any(known.places()) else "nothing stored yet; the first run decides"
    yield passed("identity", holds)
    try:
        yield from _privacy(settings)
    except WarehouseError:
        return


def _privacy(settings: Settings) -> Iterator[Diagnosis]:
    """Check that names are stored as DEBITURA_PRIVACY says."""
    if not warehouse_exists(settings, wait_s=NO_WAIT_S):
        return
    with open_warehouse(settings, read_only=True, wait_s=NO_WAIT_S) as warehouse:
        if "raw.transactions_history" not in warehouse.tables():
            return
        debtors, named, ever_named = warehouse.rows(_NAMES)[0]
    where = describe_warehouse(settings)
    if settings.privacy == "pseudonymous" and ever_named:
        yield failed(
            "privacy",
            f"DEBITURA_PRIVACY is pseudonymous, but {where} holds debtor names ({ever_named:,} rows), read while it was full.",
            "To remove them, sync into another DEBITURA_DATA_DIR (and DEBITURA_WAREHOUSE) and delete this one: history and "
            "landing zone keep them. To keep them, set DEBITURA_PRIVACY=full.",
        )
    elif settings.privacy == "full" and debtors and not named:
        yield failed(
            "privacy",
            f"DEBITURA_PRIVACY is full, but {where} holds only pseudonyms ({debtors:,} rows), read while it was pseudonymous.",
            "Run `debitura sync --full` to read the names; older versions of rows stay without. If you do not want names, "
            "unset DEBITURA_PRIVACY.",
        )
    else:
        yield passed("privacy", settings.privacy)


_NAMES = """
    SELECT (SELECT count(*) FROM raw.cases WHERE debtor_key IS NOT NULL AND _deleted_at IS NULL),
        (SELECT count(*) FROM raw.cases WHERE debtor_name IS NOT NULL AND _deleted_at IS NULL),
        (SELECT count(*) FROM raw.cases_history WHERE debtor_name IS NOT NULL)
            + (SELECT count(*) FROM raw.transactions_history WHERE debtor_name IS NOT NULL)"""
