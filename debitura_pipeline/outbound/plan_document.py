"""Plans as documents: what is printed as JSON, what a saved plan contains, and whether it is still valid.

A document contains ids, states, keyed hashes and sums; no personal data.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from debitura_pipeline.errors import DebituraError, SettingsError
from debitura_pipeline.files import write_private_atomically

VALID_FOR = timedelta(hours=24)


class PlanMoved(DebituraError):
    """A saved plan differs from what would be sent now; nothing was sent."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One wanted row. Ids are those that may be stored. `row`: its number in the source, None if it is there no more.

    `row_hash`: keyed hash of the source's row. `success_fee_pct`: percent; `expected_fee`: in `currency`.
    `creditor_id`: the client that a claim is sent for; a tenant id can be given to another one.
    """

    row: int | None
    external_tenant_id: str
    state: str
    reasons: tuple[str, ...] = ()
    creditor_reference: str | None = None
    row_hash: str | None = None
    success_fee_pct: Decimal | None = None
    expected_fee: Decimal | None = None
    currency: str | None = None
    creditor_id: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What identifies it among the rows of a plan."""
        return self.external_tenant_id, self.creditor_reference or ""

    @property
    def bound(self) -> tuple[str, ...]:
        """What must not change between a saved plan and its apply."""
        fee = "" if self.success_fee_pct is None else f"{self.success_fee_pct.normalize():f}"
        return *self.key, self.state, self.row_hash or "", fee, self.creditor_id or ""

    def facts(self) -> dict[str, Any]:
        """Values of the JSON document."""
        return {
            "row": self.row,
            "external_tenant_id": self.external_tenant_id,
            "creditor_reference": self.creditor_reference,
            "state": self.state,
            "reasons": list(self.reasons),
            "success_fee_pct": _plain(self.success_fee_pct),
            "expected_fee": _plain(self.expected_fee),
            "currency": self.currency,
            "row_hash": self.row_hash,
            "creditor_id": self.creditor_id,
        }


@dataclass(frozen=True)
class PlanDocument:
    """A plan. `api`: which API it was made for; `source`: where the rows come from, without password. `sums`: by currency."""

    kind: str
    environment: str
    api: str
    source: str
    made_at: datetime
    rows: tuple[PlanRow, ...]
    sums: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def summary(self) -> dict[str, int]:
        """Number of rows by state."""
        return dict(sorted(Counter(row.state for row in self.rows).items()))

    def facts(self) -> dict[str, Any]:
        """The JSON document. `hash` is the SHA-256 of everything else."""
        found = {
            "kind": self.kind,
            "environment": self.environment,
            "api": self.api,
            "source": self.source,
            "made_at": self.made_at.astimezone(UTC).isoformat(),
            "expires_at": (self.made_at + VALID_FOR).astimezone(UTC).isoformat(),
            "rows": [row.facts() for row in self.rows],
            "summary": self.summary,
            "sums": {currency: _plain(amount) for currency, amount in sorted(self.sums.items())},
        }
        return {**found, "hash": _hash(found)}

    def keep(self, path: Path) -> None:
        """Write the plan to a file of mode 0600. Raises SettingsError if that cannot be, or would replace something else."""
        content = json.dumps(self.facts(), indent=2, ensure_ascii=False) + "\n"
        try:
            if path.is_file() and path.stat().st_size and not _is_plan(path):
                raise SettingsError(f"--out: {path} exists and is not a plan, so it is kept. Choose another file.")
            write_private_atomically(path, content.encode(), fsync=True)
        except OSError as error:
            raise SettingsError(f"The plan cannot be written to {path}: {error.strerror}. Nothing was sent.") from None


def check_kept(path: Path, now: PlanDocument, not_reached: str = "") -> None:
    """Compare a saved plan with the plan as it would be made now, at `now.made_at`. `not_reached`: the reason given for rows
    that were not looked up because no requests were left; nothing is sent for them.

    Raises SettingsError if the file cannot be read, PlanMoved if anything has changed.
    """
    kept = _read(path)
    if kept.get("hash") != _hash({name: value for name, value in kept.items() if name != "hash"}):
        raise _moved(path, "the file was changed after it was written")
    current = now.facts()
    for name in ("kind", "environment", "api", "source"):
        if kept.get(name) != current[name]:
            raise _moved(path, f"its {name} was {kept.get(name)} and is now {current[name]}")
    made_at, expires_at = (datetime.fromisoformat(str(kept[name])) for name in ("made_at", "expires_at"))
    if not made_at <= now.made_at < expires_at:
        raise _moved(path, f"it was valid from {made_at:%Y-%m-%d %H:%M} to {expires_at:%Y-%m-%d %H:%M} UTC")
    unknown = {row.bound[:2] + row.bound[3:4] for row in now.rows if not_reached and not_reached in row.reasons}
    before = Counter(_as_far_as_known(_bound(row), unknown) for row in kept["rows"])
    after = Counter(_as_far_as_known(row.bound, unknown) for row in now.rows)
    if before != after:
        raise _moved(path, _difference(before - after, after - before))
    for name in () if unknown else ("summary", "sums"):
        if kept.get(name) != current[name]:
            raise _moved(path, f"its {name} changed")


def _as_far_as_known(row: tuple[str, ...], unknown: Set[tuple[str, ...]]) -> tuple[str, ...]:
    """The row as it is compared: by key and hash only, if it was not looked up."""
    tenant, reference, _, row_hash, *_ = row
    return (tenant, reference, "planned", row_hash, "", "") if (tenant, reference, row_hash) in unknown else row


def _is_plan(path: Path) -> bool:
    try:
        _read(path)
    except SettingsError:
        return False
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
        if isinstance(found, dict) and isinstance(found.get("rows"), list):
            for name in ("made_at", "expires_at"):
                if datetime.fromisoformat(found[name]).tzinfo is None:
                    raise ValueError("no time zone")
            for row in found["rows"]:
                _bound(row)
            return found
    except OSError as error:
        raise SettingsError(f"The plan {path} cannot be read: {error.strerror}. Nothing was sent.") from None
    except (ValueError, RecursionError, ArithmeticError, AttributeError, KeyError, TypeError):
        pass
    raise SettingsError(f"{path} is not a plan written by `--out`. Nothing was sent.")


def _bound(row: Mapping[str, Any]) -> tuple[str, ...]:
    fee = row.get("success_fee_pct")
    return PlanRow(
        None,
        str(row.get("external_tenant_id")),
        str(row.get("state")),
        creditor_reference=row.get("creditor_reference"),
        row_hash=row.get("row_hash"),
        success_fee_pct=None if fee is None else Decimal(str(fee)),
        creditor_id=row.get("creditor_id"),
    ).bound


def _difference(gone: Counter[tuple[str, ...]], new: Counter[tuple[str, ...]]) -> str:
    """What changed, by counts and one example, in one line."""
    keys_gone, keys_new = ({row[:2] for row in rows} for rows in (gone, new))
    parts = []
    for count, word in (
        (len(keys_gone & keys_new), "changed"),
        (len(keys_new - keys_gone), "new"),
        (len(keys_gone - keys_new), "gone"),
    ):
        if count:
            parts.append(f"{count} row{'' if count == 1 else 's'} {word}")
    tenant, reference = min(keys_gone | keys_new)
    was, is_now = (_states(rows, (tenant, reference)) for rows in (gone, new))
    moved = f"{was} then, {is_now} now" if was != is_now else f"{was}: its row, client or price differs"
    return f"{', '.join(parts)} (first: {' '.join(filter(None, (tenant, reference)))}, {moved})"


def _states(rows: Iterable[tuple[str, ...]], key: tuple[str, str]) -> str:
    return "/".join(sorted({row[2] for row in rows if row[:2] == key})) or "not there"


def _moved(path: Path, what: str) -> PlanMoved:
    return PlanMoved(
        f"The plan {path} no longer holds: {what}. Nothing was sent.", cure="Make a new plan and review it."
    )


def _hash(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _plain(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
