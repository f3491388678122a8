"""The three windows: never exceeded, not wasted, kept across restarts and crashes."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.errors import RateLimitExhausted
from tests.api.clockwork import START, Clockwork


def budget(clock: Clockwork, per_minute: int = 1800, file: Path | None = None) -> RateLimiter:
    return RateLimiter(per_minute, clock=clock.now, sleep=clock.sleep, state_file=file)


async def spend(budget: RateLimiter, count: int) -> float:
    return sum([await budget.acquire() for _ in range(count)])


def busiest(sent: list[float], window_s: float) -> int:
    """The most instants within any window of that length, both ends counted."""
    most = start = 0
    for end, at in enumerate(sent):
        while at - sent[start] > window_s:
            start += 1
        most = max(most, end - start + 1)
    return most


@settings(max_examples=60, deadline=None)
@given(
    per_minute=st.integers(1, 40),
    pauses=st.lists(st.sampled_from([0.0, 0.001, 0.3, 0.9, 7.7, 31.0, 61.0]), min_size=1, max_size=150),
    begin=st.floats(0, 3600),
)
def test_no_minute_ever_holds_more_than_granted(per_minute: int, pauses: list[float], begin: float) -> None:
    clock = Clockwork(START + timedelta(seconds=begin))
    allowance, sent = budget(clock, per_minute), []

    async def run() -> None:
        for pause in pauses:
            clock.advance(pause)
            await allowance.acquire()
            sent.append(clock.at.timestamp())

    asyncio.run(run())
    assert busiest(sent, 60.0) <= per_minute


@settings(max_examples=25, deadline=None)
@given(
    pauses=st.lists(st.sampled_from([1.0, 60.0, 400.0, 1700.0, 3599.0, 40_000.0]), min_size=1, max_size=30),
    bursts=st.integers(1, 30),
)
def test_no_hour_and_no_day_ever_holds_more_than_granted(pauses: list[float], bursts: int) -> None:
    clock = Clockwork()
    allowance, sent = budget(clock, 50), []
    allowance.per_hour, allowance.per_day = 40, 90

    async def run() -> None:
        for pause in pauses:
            clock.advance(pause)
            for _ in range(bursts):
                try:
                    await allowance.acquire()
                except RateLimitExhausted as spent:
                    assert spent.resume_at is not None
                    assert spent.resume_at > clock.at + timedelta(seconds=300)
                    break
                sent.append(clock.at.timestamp())

    asyncio.run(run())
    hours = [int(at // 3600) for at in sent]
    days = [int((at - sent[0]) // 86_400) for at in sent]
    assert max(map(hours.count, hours)) <= 40
    assert max(map(days.count, days)) <= 90


def test_a_full_minute_is_waited_out_and_nothing_is_wasted() -> None:
    clock = Clockwork()
    waited = asyncio.run(spend(budget(clock), 3 * 1800))
    assert waited == pytest.approx(2 * 61, abs=1)
    assert sum(clock.slept) == pytest.approx(waited)


def test_those_who_wait_go_in_the_order_they_came() -> None:
    clock, order = Clockwork(), []

    async def run() -> None:
        allowance = budget(clock, 2)

        async def one(number: int) -> None:
            await allowance.acquire()
            order.append(number)

        await asyncio.gather(*(one(number) for number in range(9)))

    asyncio.run(run())
    assert order == list(range(9))


def test_a_waiter_that_is_cancelled_takes_nothing_and_blocks_nobody() -> None:
    async def run() -> None:
        clock = Clockwork()
        allowance = RateLimiter(1, clock=clock.now, sleep=lambda _: asyncio.sleep(3600))
        await allowance.acquire()
        waiting = asyncio.create_task(allowance.acquire())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        clock.advance(62)
        assert await asyncio.wait_for(allowance.acquire(), 1) == 0

    asyncio.run(run())


def test_a_spent_hour_says_when_to_come_back_and_then_lets_in() -> None:
    clock = Clockwork(START + timedelta(minutes=5))
    allowance = budget(clock, 1_000_000)
    allowance.per_hour = 100
    asyncio.run(spend(allowance, 100))
    with pytest.raises(RateLimitExhausted, match="13:00:00 UTC") as caught:
        asyncio.run(spend(allowance, 1))
    assert caught.value.resume_at == START + timedelta(hours=1)
    clock.at = caught.value.resume_at
    assert asyncio.run(spend(allowance, 100)) == 0


def test_an_hour_that_is_nearly_over_is_waited_for() -> None:
    clock = Clockwork(START + timedelta(minutes=57))
    allowance = budget(clock, 1_000_000)
    allowance.per_hour = 10
    assert asyncio.run(spend(allowance, 11)) == pytest.approx(180)


def test_a_request_just_before_the_hour_counts_in_the_next_as_well() -> None:
    """It may reach the API after the hour has turned there."""
    clock = Clockwork(START + timedelta(minutes=59, seconds=59.6))
    allowance = budget(clock, 1_000_000)
    allowance.per_hour = 10
    asyncio.run(spend(allowance, 4))
    clock.advance(1)
    asyncio.run(spend(allowance, 6))
    with pytest.raises(RateLimitExhausted):
        asyncio.run(spend(allowance, 1))


def test_the_day_begins_with_the_first_request_and_turns_every_24_hours(tmp_path: Path) -> None:
    clock, file = Clockwork(datetime(2026, 3, 1, 17, 20, tzinfo=UTC)), tmp_path / "budget.json"
    first = budget(clock, file=file)
    asyncio.run(spend(first, 1))
    first.close()
    clock.advance(3 * 86_400 + 3600)
    later = budget(clock, file=file)
    later.per_day = 5
    asyncio.run(spend(later, 5))
    with pytest.raises(RateLimitExhausted) as caught:
        asyncio.run(spend(later, 1))
    assert caught.value.resume_at == datetime(2026, 3, 5, 17, 20, tzinfo=UTC)


def test_more_than_the_api_s_usual_minute_means_more_of_hour_and_day_too() -> None:
    clock = Clockwork()
    assert (budget(clock).per_hour, budget(clock).per_day) == (20_000, 100_000)
    assert (budget(clock, 4_000).per_hour, budget(clock, 4_000).per_day) == (40_000, 200_000)
    assert asyncio.run(spend(RateLimiter.unlimited(), 500)) == 0


def test_a_restart_remembers_minute_hour_and_day(tmp_path: Path) -> None:
    clock, file = Clockwork(), tmp_path / "deep" / "budget.json"
    first = budget(clock, 100, file)
    asyncio.run(spend(first, 100))
    first.close()
    clock.advance(10)
    second = budget(clock, 100, file)
    assert asyncio.run(spend(second, 1)) == pytest.approx(51, abs=1)
    second.close()
    state = json.loads(file.read_text())
    assert (state["in_hour"], state["in_day"]) == (101, 101)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(1, 300), min_size=1, max_size=6), pause=st.sampled_from([0.0, 0.4, 2.0]))
def test_a_crash_forgets_no_request(tmp_path_factory: pytest.TempPathFactory, counts: list[int], pause: float) -> None:
    """Without `close`: what the file says is never less than what was sent, and not wildly more."""
    clock, file = Clockwork(), tmp_path_factory.mktemp("crash") / "budget.json"
    crashed = budget(clock, 1_000_000, file)
    for count in counts:
        asyncio.run(spend(crashed, count))
        clock.advance(pause)
        assert sum(counts) * 3 + 64 >= json.loads(file.read_text())["in_day"]
    sent = sum(counts)
    assert sent <= json.loads(file.read_text())["in_day"] <= 3 * sent + 64
    crashed.close()
    assert json.loads(file.read_text())["in_day"] == sent


def test_two_processes_on_one_file_share_one_allowance(tmp_path: Path) -> None:
    clock, file = Clockwork(), tmp_path / "budget.json"
    one, other = budget(clock, 10_000, file), budget(clock, 10_000, file)
    for _ in range(5):
        asyncio.run(spend(one, 40))
        asyncio.run(spend(other, 10))
        clock.advance(1.5)
    one.close()
    other.close()
    assert json.loads(file.read_text())["in_day"] == 250


def test_the_file_is_written_about_once_a_second_not_per_request(tmp_path: Path) -> None:
    clock, file, written = Clockwork(), tmp_path / "budget.json", set()
    allowance = budget(clock, 1_000_000, file)

    async def run() -> None:
        for _ in range(2000):
            await allowance.acquire()
            clock.advance(0.005)
            written.add(file.stat().st_ino)

    asyncio.run(run())
    assert len(written) <= 20


def test_a_broken_state_file_starts_anew_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock, file = Clockwork(), tmp_path / "budget.json"
    file.write_text('{"minute":')
    allowance = budget(clock, 10, file)
    with caplog.at_level(logging.WARNING):
        asyncio.run(spend(allowance, 1))
    assert "unreadable" in caplog.text
    allowance.close()
    assert json.loads(file.read_text())["in_day"] == 1


def test_without_a_place_for_the_file_counting_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clockwork()
    (tmp_path / "file").write_text("")
    allowance = budget(clock, 10, tmp_path / "file" / "budget.json")
    with caplog.at_level(logging.WARNING):
        assert asyncio.run(spend(allowance, 11)) > 60
    assert caplog.text.count("cannot be kept") == 1


def test_a_process_that_keeps_the_lock_stops_nobody_and_nothing_is_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, file = Clockwork(), tmp_path / "budget.json"
    allowance = budget(clock, 10, file)
    with caplog.at_level(logging.WARNING), FileLock(tmp_path / "budget.json.lock"):
        asyncio.run(spend(allowance, 1))
    assert "could not be acquired" in caplog.text
    allowance.close()
    assert json.loads(file.read_text())["in_day"] == 1


def test_a_clock_set_back_forgets_nothing_and_locks_nobody_out(tmp_path: Path) -> None:
    clock, file = Clockwork(), tmp_path / "budget.json"
    allowance = budget(clock, 50, file)
    asyncio.run(spend(allowance, 50))
    clock.advance(-7 * 86_400)
    assert asyncio.run(spend(allowance, 50)) == pytest.approx(61, abs=1)
    allowance.close()
    assert json.loads(file.read_text())["in_day"] == 100


def test_a_hold_makes_everyone_wait_and_a_long_one_ends_it() -> None:
    clock = Clockwork()
    allowance = budget(clock)
    allowance.pause(12.5)
    assert asyncio.run(spend(allowance, 3)) == pytest.approx(12.5)
    with pytest.raises(RateLimitExhausted) as caught:
        allowance.pause(7200)
    assert caught.value.resume_at == clock.at + timedelta(hours=2)
