"""Why a nightly run failed, as one of the causes that are reported as incidents of their own."""

from __future__ import annotations

import re

from debitura_pipeline import failures

KEY_REFUSED = "key_refused"
PERMISSION_MISSING = "permission_missing"
BUDGET_SPENT = "budget_spent"
SHRINK_REFUSED = "shrink_refused"
IDENTITY_REFUSED = "identity_refused"
DISK_FULL = "disk_full"
API_UNREACHABLE = "api_unreachable"
WAREHOUSE_UNREADABLE = "warehouse_unreadable"
JOURNAL_DAMAGED = "journal_damaged"
NIGHT_UNPROVEN = "night_unproven"
NIGHT_FAILED = "night_failed"
CHECK_FAILED = "check_failed"  # reported as what the check found, where the warehouse says so

_BY_CLASS = {
    "RateLimitExhausted": BUDGET_SPENT,
    "RateLimited": BUDGET_SPENT,
    "ShrinkRefused": SHRINK_REFUSED,
    "IdentityRefused": IDENTITY_REFUSED,
    "UnprovenError": NIGHT_UNPROVEN,
    "ApiOutage": API_UNREACHABLE,
    "TransientApiError": API_UNREACHABLE,
    "ShapeError": API_UNREACHABLE,
    "WarehouseError": WAREHOUSE_UNREADABLE,
    "WarehouseDamaged": WAREHOUSE_UNREADABLE,
    "WarehouseBusy": WAREHOUSE_UNREADABLE,
    "JournalDamaged": JOURNAL_DAMAGED,
}
# Every key may read the partner's own record, so a 403 there is about the key; elsewhere it is about what was asked for.
_CREDENTIAL = re.compile(r"\bHTTP 401\b|\bHTTP 403 on GET /me\b")
_PERMISSION = re.compile(r"\bHTTP 403\b")


def cause_of(class_name: str, text: str) -> str:
    """The cause, from the class and the message of the exception that ended the run. The message is not kept."""
    if failures.kind_of(text) in (failures.SPACE, failures.SERVER):
        return DISK_FULL
    if class_name == "RefusedError":
        if _CREDENTIAL.search(text):
            return KEY_REFUSED
        return PERMISSION_MISSING if _PERMISSION.search(text) else NIGHT_FAILED
    if "AssetCheckFailed" in class_name:
        return CHECK_FAILED
    return _BY_CLASS.get(class_name, NIGHT_FAILED)
