"""Decide which clients are onboarded now. Pure; called by the sensor `new_clients` on every tick.

The decision depends on the current state only (level-triggered), not on changes since the last tick, so a lost tick, cursor or
run costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from debitura_pipeline.onboarding.client_ref import ClientRef

WAITING = "waiting_for_signature"
SIGNED = "signed"
LOADED = "loaded"
MUST_SIGN_AGAIN = "must_sign_again"  # loaded, but a new agreement has to be signed
GONE = "gone"

# Pause between two runs of a client that has signed.
MIN_PAUSE = timedelta(minutes=1)
# An unsigned client is rechecked after an eighth of the time that it has been waiting: every five minutes for a new link, once
# a day for last week's. Signatures of clients on the newest pages are noticed at the next tick anyway.
MIN_RECHECK = timedelta(minutes=5)
MAX_RECHECK = timedelta(days=1)
RECHECK_DIVISOR = 8
# After the n-th failure within a day: 5, 10, 20, ... minutes, at most six hours.
FAILURE_PAUSE = timedelta(minutes=5)
MAX_FAILURE_PAUSE = timedelta(hours=6)
FAILURES_COUNTED_OVER = timedelta(days=1)
# Clients per run, newest first. Runs are sequential, so one may be queued, and no third one is requested.
MAX_CLIENTS = 50
MAX_RUNS = 2
DONE = (LOADED, MUST_SIGN_AGAIN)  # the history is loaded
NEW_AGREEMENT = "signature of a new agreement"
KYC_SETTLED = {"notrequired", "verified"}


@dataclass(frozen=True)
class Client:
    """A client as the listing shows it, without names, personal data and links.

    `linked_at`: when its onboarding link was created, aware UTC. `cases`: the number of cases in its own record.
    """

    tenant: str
    creditor_id: str
    is_signed: bool
    kyc_status: str | None = None
    linked_at: datetime | None = None
    cases: int | None = None

    @property
    def ref(self) -> ClientRef:
        """Its identity."""
        return ClientRef(self.tenant, self.creditor_id)

    @property
    def key(self) -> str:
        """Its partition key."""
        return self.ref.key


@dataclass(frozen=True)
class OnboardingProgress:
    """What is known of one partition.

    `state`: the result of the last check, made at `checked_at` (this machine's clock), when the client had been linked for
    `waited`. `is_in_flight`: a run for it is in progress. `failures`: consecutive failures within the last day.
    """

    is_done: bool = False
    is_in_flight: bool = False
    state: str | None = None
    checked_at: datetime | None = None
    waited: timedelta | None = None
    failures: int = 0
    failed_at: datetime | None = None


@dataclass(frozen=True)
class ClientDecision:
    """One client by its partition key, and why it is run now or not."""

    key: str
    reason: str


@dataclass(frozen=True)
class Decision:
    """The result for all clients.

    `new`: partitions to add. `run`: clients to run now, in one run. `later`: clients that wait. `done`: number of all others.
    `due`: number of clients that would be run now without MAX_CLIENTS and MAX_RUNS.
    """

    new: tuple[str, ...]
    run: tuple[ClientDecision, ...]
    later: tuple[ClientDecision, ...]
    done: int
    due: int = 0


def decide(
    listed: Iterable[Client],
    known: Mapping[str, OnboardingProgress],
    now: datetime,
    covered: Container[str] = (),
    active_runs: int = 0,
) -> Decision:
    """Compare listed clients (newest first) and existing partitions with what is done.

    `known`: one entry per existing partition. `covered`: partition keys of clients loaded without a run of their own. With
    `active_runs` at MAX_RUNS nothing is run. Clients beyond MAX_CLIENTS get a partition now and are run in a later tick.
    """
    seen = {client.key: client for client in listed}
    keys = [*seen, *(key for key in known if key not in seen)]
    limit = MAX_CLIENTS if active_runs < MAX_RUNS else 0
    run: list[ClientDecision] = []
    later: list[ClientDecision] = []
    done = due = 0
    for key in keys:
        progress = known.get(key, OnboardingProgress())
        if progress.is_done or key in covered or (progress.state == GONE and key not in seen):
            done += 1
            continue
        is_due, reason = _due(progress, seen.get(key), now)
        due += is_due
        if is_due and len(run) < limit:
            run.append(ClientDecision(key, reason))
        else:
            later.append(ClientDecision(key, "waiting for other runs to end" if is_due else reason))
    return Decision(tuple(key for key in seen if key not in known), tuple(run), tuple(later), done, due)


def _due(progress: OnboardingProgress, client: Client | None, now: datetime) -> tuple[bool, str]:
    if progress.is_in_flight:
        return False, "run in progress"
    if progress.failed_at is not None:
        again = progress.failed_at + failure_pause(progress.failures)
        if now < again:
            return False, f"failed {progress.failures} times in a day, next attempt at {again:%Y-%m-%d %H:%M:%SZ}"
    if progress.checked_at is None:
        return True, "retry after a failure" if progress.failed_at else "not seen before"
    if progress.state == WAITING:
        if client is not None and client.is_signed:
            return now >= progress.checked_at + MIN_PAUSE, "has signed"
        again = progress.checked_at + signature_pause(progress.waited)
        return now >= again, "not signed yet"
    if progress.state == GONE:
        return now >= progress.checked_at + MIN_PAUSE, "listed again"
    return now >= progress.checked_at + MIN_PAUSE, "signed, history not loaded yet"


def signature_pause(waited: timedelta | None) -> timedelta:
    """Time until an unsigned client is rechecked, which had been linked for `waited` at the last check."""
    return min(max((waited or timedelta()) / RECHECK_DIVISOR, MIN_RECHECK), MAX_RECHECK)


def failure_pause(failures: int) -> timedelta:
    """Time until a client is retried after its `failures`-th failed run within a day."""
    doublings = min(max(failures, 1) - 1, 10)  # avoids huge numbers; the result is capped anyway
    return min(FAILURE_PAUSE * (1 << doublings), MAX_FAILURE_PAUSE)


def outstanding(signature: str | None, kyc_status: str | None) -> str | None:
    """What a client still has to do, in words; None for nothing. `signature`: what it has not signed, if anything."""
    settled = kyc_status is None or kyc_status.replace("_", "").lower() in KYC_SETTLED
    missing = [signature, None if settled else "identity check (KYC)"]
    return ", ".join(text for text in missing if text) or None
