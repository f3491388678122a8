"""What the incidents are derived from. Frozen values without personal data; a part that was not looked at is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class NightFact:
    """One nightly run that is over. `cause`: of `causes.py`, None if it is done. Instants are aware UTC."""

    started_at: datetime
    ended_at: datetime
    is_done: bool
    cause: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class ResourceFact:
    """The last whole sync of a resource. `differing`: control totals of any scope; `contradicted`: those of the whole listing.

    `drift`: fields and values that it saw for the first time.
    """

    resource: str
    synced_at: datetime | None = None
    is_proven: bool | None = None
    message: str | None = None
    differing: int = 0
    contradicted: int = 0
    quarantined: int = 0
    drift: tuple[str, ...] = ()
    live_rows: int = 0
    rows_read: int = 0
    requests: int = 0


@dataclass(frozen=True)
class StuckFact:
    """A wanted client or claim that may need a human. `kind`: of `kinds.py`. `subject`: the tenant, or tenant and reference.

    `since`: None if the warehouse does not say; then it counts from when it was noticed. `detail`: codes of the API, no text.
    """

    kind: str
    subject: str
    tenant: str
    state: str
    since: datetime | None
    detail: str | None = None


@dataclass(frozen=True)
class WarehouseFacts:
    """Read from `raw` and `ops`. `oldest_event_at`: receipt of the oldest event that no run has handled."""

    resources: tuple[ResourceFact, ...] = ()
    stuck: tuple[StuckFact, ...] = ()
    oldest_event_at: datetime | None = None


@dataclass(frozen=True)
class OffSubscription:
    """A webhook subscription that delivers nothing. `what`: one sentence without its address."""

    subscription_id: str
    what: str
    since: datetime | None = None


@dataclass(frozen=True)
class WebhookFacts:
    """Read from the receiver's files. `stale_total`: authentic deliveries refused as stale, in all; `stale_at`: the last one.

    `oldest_at`: receipt of the oldest event in the inbox that was not handled.
    """

    off: tuple[OffSubscription, ...] = ()
    stale_total: int = 0
    stale_at: datetime | None = None
    oldest_at: datetime | None = None


@dataclass(frozen=True)
class DaemonFact:
    """The daemon's last heartbeat; None if no daemon ever ran."""

    beat_at: datetime | None


@dataclass(frozen=True)
class ApiFault:
    """Reading the API fails outside the nights, since then. `cause`: of `causes.py`."""

    cause: str
    reason: str
    since: datetime


@dataclass(frozen=True)
class OutboundFault:
    """An apply of `source` (roster, claims) stops since then, the last time at `latest`. `kind`: of `kinds.py` or `causes.py`.

    `is_passing`: it may be over in a moment.
    """

    source: str
    kind: str
    reason: str
    since: datetime
    is_passing: bool = False
    latest: datetime | None = None


@dataclass(frozen=True)
class LockFact:
    """A run that ended at `since`, and whose process still holds a run lock. `what`: one sentence with run and process."""

    run_id: str
    what: str
    since: datetime


@dataclass(frozen=True)
class Facts:
    """Everything known at `now`. `nights`: oldest first. `warehouse_fault`: why the warehouse could not be opened.

    `full_folders`: folders without space, an empty string if there are none. `noticed`: when a stuck client or claim without
    an instant of its own was first seen, by kind and subject.
    """

    now: datetime
    stuck_days: int
    nights: tuple[NightFact, ...] | None = None
    warehouse: WarehouseFacts | None = None
    warehouse_fault: str | None = None
    webhooks: WebhookFacts | None = None
    daemon: DaemonFact | None = None
    full_folders: str | None = None
    api_fault: ApiFault | None = None
    outbound: tuple[OutboundFault, ...] | None = None
    held_locks: tuple[LockFact, ...] | None = None
    noticed: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
