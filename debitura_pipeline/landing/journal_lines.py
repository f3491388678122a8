"""Types of a journal's lines. A line is one JSON object; its member `line` names the type.

Instants are aware UTC. Members that older versions did not write have a default.
"""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR, datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from debitura_pipeline.landing.findings import BadRow, Drift

JOURNAL = "journal.jsonl"

Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0)]
Instant = Annotated[datetime, Meta(tz=True)]
Terms = tuple[str | None, str | None]  # the partner's invoicing trigger mode, and its fee percentage as text


class _Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="line"):
    pass


class Begin(_Line, frozen=True, kw_only=True, tag="begin"):
    """What is to be read. `at`: the sync's clock; `started_at`: the real start, if different.

    `upper_bound`: later rows belong to another sync; `read_until`: the upper bound of the requests. `tenant`, `tenants`:
    whose rows are read, None for all. `previous_sha256`: certificate of the previous sync.
    """

    sync_id: Text
    resource: Text
    mode: Text
    at: Instant
    upper_bound: Instant
    partner: Terms
    tenant: str | None
    started_at: Instant | None = None
    read_until: Instant | None = None
    tenants: tuple[str, ...] | None = None
    previous_sha256: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        for instant in (self.at, self.upper_bound, self.started_at, self.read_until):
            if instant is not None and not MINYEAR < instant.year < MAXYEAR:
                raise ValueError("an instant that no time zone can be applied to")

    @property
    def began_at(self) -> datetime:
        """When reading started."""
        return self.started_at or self.at

    @property
    def scope(self) -> tuple[str, ...] | None:
        """The tenants whose rows are read, as stored; None for all."""
        if self.tenants is not None:
            return self.tenants
        return None if self.tenant is None else (self.tenant,)


class StatedTotals(msgspec.Struct, frozen=True):
    """What the API stated: the number of matching rows, and count and USD sum (as text) per bucket of its summary."""

    count: Count
    summary: dict[str, tuple[int | None, str | None]]


class WindowLine(_Line, frozen=True, kw_only=True, tag="window"):
    """One window as read: bounds, filters, what the API stated, what was landed. See `extract/window_record.py`."""

    name: str = ""
    start: Instant | None = None
    end: Instant | None = None
    filters: tuple[tuple[str, str], ...] = ()
    seq: Count
    api: StatedTotals
    rows: Count
    distinct: Count
    attempts: Count
    file: str | None
    sha256: str | None
    bad: tuple[BadRow, ...] = ()
    drift: tuple[Drift, ...] = ()
    stretches: tuple[tuple[Instant | None, Instant | None, Count, str], ...] = ()
    has_moved: bool = False
    unproven: str | None = None
    opening: str | None = None

    def __post_init__(self) -> None:
        if self.file is not None and (Path(self.file).name != self.file or self.file in ("", JOURNAL)):
            raise ValueError("`file` is not the name of a file beside the journal")


class End(_Line, frozen=True, kw_only=True, tag="end"):
    """Every window is landed and verified: the journal up to here is the sync's certificate.

    `windows`: sequence numbers of the windows that count. `mode`: the plan used in the end, if it is not the initial one.
    `gone`: keys of deleted rows. `tenants` and `failed`, if only some tenants were read: those read completely, and why
    others were not.
    """

    windows: tuple[Count, ...]
    api: StatedTotals
    finished_at: Instant
    requests: Count
    retries: Count
    message: str | None
    mode: str | None = None
    gone: tuple[str, ...] = ()
    is_settled: bool = True
    unproven: tuple[str, ...] = ()
    with_clients: bool = False
    tenants: tuple[str, ...] | None = None
    failed: dict[str, str] = {}


class Merged(_Line, frozen=True, kw_only=True, tag="merged"):
    """The sync is in the warehouse. Written after its row in `ops.syncs`."""

    at: Instant


class Refused(_Line, frozen=True, kw_only=True, tag="refused"):
    """The warehouse rejected the sync."""

    reason: str


Line: TypeAlias = Begin | WindowLine | End | Merged | Refused

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Line).decode
