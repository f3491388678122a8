"""The decision about each client: wanted against done, at the level of now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.onboarding.lifecycle import (
    FAILURE_PAUSE,
    GONE,
    MAX_CLIENTS,
    MAX_FAILURE_PAUSE,
    MAX_RECHECK,
    MAX_RUNS,
    MIN_PAUSE,
    MIN_RECHECK,
    SIGNED,
    WAITING,
    Client,
    OnboardingProgress,
    decide,
    failure_pause,
    signature_pause,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CREDITOR = "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77"
SECOND = timedelta(seconds=1)


def client(tenant: str = "acme", *, signed: bool = True, creditor: str = CREDITOR) -> Client:
    return Client(tenant, creditor, signed)


def looked(state: str, ago: timedelta, **more: object) -> OnboardingProgress:
    return OnboardingProgress(state=state, checked_at=NOW - ago, **more)  # type: ignore[arg-type]


def runs(listed: list[Client], known: dict[str, OnboardingProgress]) -> list[str]:
    return [verdict.key for verdict in decide(listed, known, NOW).run]


KEY = client().key


def test_a_client_seen_for_the_first_time_gets_a_partition_and_a_run() -> None:
    decision = decide([client()], {}, NOW)
    assert decision.new == (KEY,)
    assert [(verdict.key, verdict.reason) for verdict in decision.run] == [(KEY, "not seen before")]


def test_a_client_whose_partition_exists_but_who_was_never_run_is_run() -> None:
    """A tick that died after adding the partition must not lose the client."""
    decision = decide([client()], {KEY: OnboardingProgress()}, NOW)
    assert decision.new == ()
    assert [verdict.key for verdict in decision.run] == [KEY]


def test_a_client_that_is_not_listed_but_has_a_partition_that_is_not_done_is_run() -> None:
    """The listing is read only until known clients; what stands behind them is known from its partition."""
    assert runs([], {KEY: OnboardingProgress()}) == [KEY]


def test_a_client_that_is_done_is_left_alone() -> None:
    decision = decide([client()], {KEY: OnboardingProgress(is_done=True)}, NOW)
    assert (decision.new, decision.run, decision.later, decision.done) == ((), (), (), 1)


def test_done_stays_done_when_a_new_contract_wants_a_new_signature() -> None:
    assert runs([client(signed=False)], {KEY: OnboardingProgress(is_done=True)}) == []


def test_no_second_run_while_one_is_on() -> None:
    decision = decide([client()], {KEY: OnboardingProgress(is_in_flight=True)}, NOW)
    assert not decision.run
    assert decision.later[0].reason == "run in progress"


def test_a_waiting_client_that_is_seen_to_have_signed_is_run_after_the_shortest_pause() -> None:
    known = looked(WAITING, MIN_PAUSE, waited=timedelta(days=300))
    assert runs([client(signed=True)], {KEY: known}) == [KEY]
    assert runs([client(signed=True)], {KEY: looked(WAITING, MIN_PAUSE - SECOND)}) == []


def test_a_waiting_client_is_looked_at_again_after_its_pause_and_not_before() -> None:
    for listed in ([client(signed=False)], []):
        assert runs(listed, {KEY: looked(WAITING, MIN_RECHECK - SECOND)}) == []
        assert runs(listed, {KEY: looked(WAITING, MIN_RECHECK)}) == [KEY]


def test_a_failed_run_is_tried_again_after_a_pause_that_grows() -> None:
    once = OnboardingProgress(failures=1, failed_at=NOW - FAILURE_PAUSE)
    thrice = OnboardingProgress(failures=3, failed_at=NOW - FAILURE_PAUSE)
    assert runs([client()], {KEY: once}) == [KEY]
    assert runs([client()], {KEY: thrice}) == []
    assert runs([client()], {KEY: OnboardingProgress(failures=3, failed_at=NOW - FAILURE_PAUSE * 4)}) == [KEY]


def test_a_client_signed_whose_history_failed_is_tried_again() -> None:
    known = looked(SIGNED, timedelta(hours=1), failures=1, failed_at=NOW - timedelta(hours=1))
    assert runs([client()], {KEY: known}) == [KEY]


def test_a_client_that_is_gone_is_closed_until_it_is_listed_again() -> None:
    known = {KEY: looked(GONE, timedelta(days=1))}
    assert decide([], known, NOW).done == 1
    assert runs([client()], known) == [KEY]


def test_a_tenant_id_used_again_is_another_client() -> None:
    again = client(creditor="7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a10")
    decision = decide([again], {KEY: OnboardingProgress(is_done=True)}, NOW)
    assert decision.new == (again.key,)
    assert again.key != KEY


def test_the_clients_of_a_run_are_bounded_and_the_newest_go_first() -> None:
    listed = [client(f"tenant-{number}") for number in range(MAX_CLIENTS * 2)]
    on = {client(f"old-{number}").key: OnboardingProgress(is_in_flight=True) for number in range(4)}
    decision = decide(listed, on, NOW, active_runs=MAX_RUNS - 1)
    assert [verdict.key for verdict in decision.run] == [one.key for one in listed[:MAX_CLIENTS]]
    assert (len(decision.new), decision.due) == (len(listed), len(listed))
    assert {verdict.reason for verdict in decision.later} == {"run in progress", "waiting for other runs to end"}
    assert decide(listed, on, NOW, active_runs=MAX_RUNS).run == ()


def test_twenty_clients_that_sign_at_once_share_a_run() -> None:
    listed = [client(f"tenant-{number}") for number in range(20)]
    known = {one.key: looked(WAITING, MIN_PAUSE, waited=timedelta(days=number)) for number, one in enumerate(listed)}
    decision = decide(listed, known, NOW)
    assert [verdict.key for verdict in decision.run] == [one.key for one in listed]
    assert {verdict.reason for verdict in decision.run} == {"has signed"}


def test_a_client_that_is_covered_is_done_whatever_is_known_of_it() -> None:
    for known in (
        {},
        {KEY: OnboardingProgress()},
        {KEY: looked(WAITING, timedelta(days=9))},
        {KEY: OnboardingProgress(failures=3)},
    ):
        decision = decide([client()], known, NOW, covered={KEY})
        assert (decision.run, decision.done, decision.due) == ((), 1, 0)


def test_no_listed_client_is_dropped_whatever_is_known() -> None:
    states = [
        OnboardingProgress(),
        OnboardingProgress(is_done=True),
        OnboardingProgress(is_in_flight=True),
        OnboardingProgress(failures=2, failed_at=NOW),
        looked(WAITING, SECOND),
        looked(GONE, SECOND),
        looked(SIGNED, SECOND),
    ]
    listed = [client(f"tenant-{number}") for number in range(len(states))]
    decision = decide(listed, {one.key: state for one, state in zip(listed, states, strict=True)}, NOW)
    assert len(decision.run) + len(decision.later) + decision.done == len(states)


@given(st.integers(1, 200))
def test_failure_pauses_stay_within_bounds(failures: int) -> None:
    assert FAILURE_PAUSE <= failure_pause(failures) <= MAX_FAILURE_PAUSE


@given(st.none() | st.timedeltas(timedelta(days=-1), timedelta(days=4000)))
def test_signature_pauses_stay_within_bounds(waited: timedelta | None) -> None:
    assert MIN_RECHECK <= signature_pause(waited) <= MAX_RECHECK


ODD_IDS = [
    "a@b.c",
    "...",
    "....",
    "a..b",
    "50%",
    "%2E",
    "ø/ü?&#",
    "tab\there",
    "line\nbreak",
    "\0",
    "a|b",
    "[1]",
    "日本",
]


@pytest.mark.parametrize("tenant", ODD_IDS)
def test_odd_tenant_ids_make_keys_that_dagster_takes_and_that_read_back(tenant: str) -> None:
    key = ClientRef(tenant, CREDITOR).key
    assert ClientRef.parse(key) == ClientRef(tenant, CREDITOR)
    assert key.isascii()
    assert key.isprintable()
    assert "..." not in key
    assert key.count("@") == 1


@given(st.text(min_size=1, max_size=255))
def test_keys_read_back(tenant: str) -> None:
    assert ClientRef.parse(ClientRef(tenant, CREDITOR).key) == ClientRef(tenant, CREDITOR)


@pytest.mark.parametrize("key", ["", "@", "acme", "acme@", f"@{CREDITOR}"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="externalTenantId@creditorId"):
        ClientRef.parse(key)
