"""Whose data this is, the key of its pseudonyms, and whether names are kept as the settings say."""

from __future__ import annotations

import os
from collections.abc import Iterator

from debitura_pipeline.doctor.diagnosis import Diagnosis, bad, of_error, well
from debitura_pipeline.errors import DebituraError, WarehouseError
from debitura_pipeline.settings import PRIVACY_KEY_FILE, Settings
from debitura_pipeline.warehouse.identity import api_name, check_identity
from debitura_pipeline.warehouse.opening import describe_warehouse, open_warehouse, warehouse_exists

NO_WAIT_S = 0.5


def examine_key(settings: Settings) -> Iterator[Diagnosis]:
    """The key's file, where the data directory has one; whether it is the right one is a matter of the identity."""
    path = settings.data_dir / PRIVACY_KEY_FILE
    if settings.privacy_key is not None:
        yield well("privacy key", "DEBITURA_PRIVACY_KEY")
        return
    if not path.exists():
        return
    facts = path.stat()
    if facts.st_mode & 0o777 != 0o600:
        seen = f"{path} has mode {facts.st_mode & 0o777:o}: others may read it, or you may not replace it."
        yield bad("privacy key", seen, f"Run `chmod 600 {path}`.")
    elif facts.st_uid != os.geteuid():
        yield bad("privacy key", f"{path} belongs to another user.", f"Run `chown {os.geteuid()} {path}`.")
    else:
        yield well("privacy key", f"{path}, mode 600; keep a copy elsewhere")


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """As far as it can be told without the API."""
    try:
        known = check_identity(settings, wait_s=NO_WAIT_S)
    except WarehouseError:  # which has a line of its own
        return
    except DebituraError as error:
        yield of_error("identity", error, settings)
        return
    holds = f"data of {api_name(settings)}" if any(known.places()) else "nothing is kept yet; the first run decides"
    yield well("identity", holds)
    try:
        yield from _privacy(settings)
    except WarehouseError:
        return


def _privacy(settings: Settings) -> Iterator[Diagnosis]:
    """Are names there as DEBITURA_PRIVACY says?"""
    if not warehouse_exists(settings, wait_s=NO_WAIT_S):
        return
    with open_warehouse(settings, read_only=True, wait_s=NO_WAIT_S) as warehouse:
        if "raw.transactions_history" not in warehouse.tables():
            return
        debtors, named, ever_named = warehouse.rows(_NAMES)[0]
    where = describe_warehouse(settings)
    if settings.privacy == "pseudonymous" and ever_named:
        yield bad(
            "privacy",
            f"DEBITURA_PRIVACY is pseudonymous, and {where} holds the names of debtors ({ever_named:,} rows), read while it "
            "was full.",
            "To be rid of them read anew into another DEBITURA_DATA_DIR (and DEBITURA_WAREHOUSE) and remove this one: history "
            "and landing zone keep what they have. To keep them set DEBITURA_PRIVACY=full.",
        )
    elif settings.privacy == "full" and debtors and not named:
        yield bad(
            "privacy",
            f"DEBITURA_PRIVACY is full, and {where} holds pseudonyms alone ({debtors:,} rows), read while it was pseudonymous.",
            "Run `debitura sync --full` to read the names; what is history stays without. If they are not wanted unset "
            "DEBITURA_PRIVACY.",
        )
    else:
        yield well("privacy", settings.privacy)


_NAMES = """
    SELECT (SELECT count(*) FROM raw.cases WHERE debtor_key IS NOT NULL AND _deleted_at IS NULL),
        (SELECT count(*) FROM raw.cases WHERE debtor_name IS NOT NULL AND _deleted_at IS NULL),
        (SELECT count(*) FROM raw.cases_history WHERE debtor_name IS NOT NULL)
            + (SELECT count(*) FROM raw.transactions_history WHERE debtor_name IS NOT NULL)"""
