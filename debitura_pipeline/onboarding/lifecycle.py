"""What is to be done about each client, decided from what is wanted and what is done.

Belongs here: the client's partition key and the decision, both pure. Does not: reading the API, Dagster, the warehouse.
Called by the sensor `new_clients` on every tick. The decision looks at the state as it is now (level), never at what
changed since the last tick (edge), so a lost tick, cursor or run costs time and nothing else.

The wall for what follows: registration from a roster, webhooks and crash histories each add to what is *wanted* or to
what is *known* of a client; the decision stays here, in one function.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote, unquote

WAITING = "waiting_for_signature"
SIGNED = "signed"
LOADED = "loaded"
GONE = "gone"

# A client that is seen to have signed is looked at after this, even if it was looked at just now.
MIN_PAUSE = timedelta(minutes=1)
# One that has not signed is looked at again after an eighth of the time that it has been waiting: a fresh link every
# five minutes, one of last week once a day. Whoever stands in the newest pages is noticed at once all the same.
FIRST_LOOK_AGAIN = timedelta(minutes=5)
LAST_LOOK_AGAIN = timedelta(days=1)
WAITED_SHARE = 8
# After the n-th failure within a day: 5, 10, 20, ... minutes, at most six hours.
FAILURE_PAUSE = timedelta(minutes=5)
LONGEST_FAILURE_PAUSE = timedelta(hours=6)
FAILURES_COUNTED_OVER = timedelta(days=1)
# Clients of one run, newest first. Runs come one after the other, so a second one waits at most, and no third one is asked for.
MAX_CLIENTS = 50
MAX_RUNS = 2
KYC_SETTLED = {"notrequired", "verified"}


def partition_key(tenant: str, creditor_id: str) -> str:
    """`externalTenantId@creditorId`: a tenant id alone may be used again for another client record.

    The tenant id is percent-encoded (UTF-8), so that any character it holds is safe in a partition key, a URL and a
    file name, and the only `@` is the one between the two. Two dots in a row are encoded too, since Dagster keeps `...`
    for itself. `read_partition_key` gives both back exactly.
    """
    if not tenant or not creditor_id or "@" in creditor_id:
        raise ValueError("a client's partition key needs a tenant id and a creditor id")
    return f"{quote(tenant, safe='').replace('..', '%2E%2E')}@{creditor_id.lower()}"


def read_partition_key(key: str) -> tuple[str, str]:
    """Tenant id and creditor id that `partition_key` was made of."""
    tenant, separator, creditor_id = key.rpartition("@")
    if not separator or not tenant or not creditor_id:
        raise ValueError(f"{key!r} is not externalTenantId@creditorId")
    return unquote(tenant, errors="strict"), creditor_id


@dataclass(frozen=True)
class Client:
    """A client as the listing shows it: no name, no person, no link."""

    tenant: str
    creditor_id: str
    is_signed: bool
    kyc_status: str | None = None
    linked_at: datetime | None = None
    cases: int | None = None  # as its own record counts them

    @property
    def key(self) -> str:
        return partition_key(self.tenant, self.creditor_id)


@dataclass(frozen=True)
class Progress:
    """What is known of one partition: `state` of the last look, when that was (this machine's clock) and how long the
    client had been linked then; whether a run is on; failures in a row, of the last day."""

    is_done: bool = False
    is_in_flight: bool = False
    state: str | None = None
    looked_at: datetime | None = None
    waited: timedelta | None = None
    failures: int = 0
    failed_at: datetime | None = None


@dataclass(frozen=True)
class Verdict:
    """One client, and why it is run now or not."""

    key: str
    reason: str


@dataclass(frozen=True)
class Decision:
    """Partitions to add, clients to run now (in one run), clients to look at later; `done` counts the rest, `due` those that
    would be run now if there were no bounds."""

    new: tuple[str, ...]
    run: tuple[Verdict, ...]
    later: tuple[Verdict, ...]
    done: int
    due: int = 0


def decide(
    listed: Iterable[Client],
    known: Mapping[str, Progress],
    now: datetime,
    covered: Container[str] = (),
    runs_on: int = 0,
) -> Decision:
    """Compare the clients of the listing (newest first) and the partitions that exist with what is done.

    `known` has an entry for every partition that exists; `covered` are clients whose history is there without a run of theirs.
    With MAX_RUNS runs on nothing is run; what is more than MAX_CLIENTS clients is added as partitions and run in a later tick.
    """
    seen = {client.key: client for client in listed}
    keys = [*seen, *(key for key in known if key not in seen)]
    room = MAX_CLIENTS if runs_on < MAX_RUNS else 0
    run: list[Verdict] = []
    later: list[Verdict] = []
    done = due = 0
    for key in keys:
        progress = known.get(key, Progress())
        if progress.is_done or key in covered or (progress.state == GONE and key not in seen):
            done += 1
            continue
        is_due, reason = _due(progress, seen.get(key), now)
        due += is_due
        if is_due and len(run) < room:
            run.append(Verdict(key, reason))
        else:
            later.append(Verdict(key, "waits for other runs to end" if is_due else reason))
    return Decision(tuple(key for key in seen if key not in known), tuple(run), tuple(later), done, due)


def _due(progress: Progress, client: Client | None, now: datetime) -> tuple[bool, str]:
    if progress.is_in_flight:
        return False, "a run is on"
    if progress.failed_at is not None:
        again = progress.failed_at + failure_pause(progress.failures)
        if now < again:
            return False, f"failed {progress.failures} times in a day, is tried again at {again:%Y-%m-%d %H:%M:%SZ}"
    if progress.looked_at is None:
        return True, "tried again after a failure" if progress.failed_at else "not seen before"
    if progress.state == WAITING:
        if client is not None and client.is_signed:
            return now >= progress.looked_at + MIN_PAUSE, "has signed"
        again = progress.looked_at + signature_pause(progress.waited)
        return now >= again, "has still to sign"
    if progress.state == GONE:
        return now >= progress.looked_at + MIN_PAUSE, "is listed again"
    return now >= progress.looked_at + MIN_PAUSE, "signed, history not loaded yet"


def signature_pause(waited: timedelta | None) -> timedelta:
    """How long to leave a client alone that had waited this long with its signature when it was last looked at."""
    return min(max((waited or timedelta()) / WAITED_SHARE, FIRST_LOOK_AGAIN), LAST_LOOK_AGAIN)


def failure_pause(failures: int) -> timedelta:
    """How long to leave a client alone after its `failures`-th failed run within a day."""
    doublings = min(max(failures, 1) - 1, 10)  # beyond ten the cap below holds anyway
    return min(FAILURE_PAUSE * (1 << doublings), LONGEST_FAILURE_PAUSE)


def outstanding(signature: str | None, kyc_status: str | None) -> str | None:
    """What a client still has to do, in words; None: nothing. `signature`: how to call what it has not signed."""
    settled = kyc_status is None or kyc_status.replace("_", "").lower() in KYC_SETTLED
    missing = [signature, None if settled else "identity check (KYC)"]
    return ", ".join(text for text in missing if text) or None
