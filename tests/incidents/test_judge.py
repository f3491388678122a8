"""Which facts are which incident: one per cause, and only what is known to be over closes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from debitura_pipeline.errors import RateLimitExhausted, RefusedError, ShrinkRefused, WarehouseBusy
from debitura_pipeline.incidents import causes, kinds
from debitura_pipeline.incidents.causes import cause_of
from debitura_pipeline.incidents.facts import DaemonFact, Facts, NightFact, StuckFact
from debitura_pipeline.incidents.judge import judge, stale_reasons
from debitura_pipeline.typed_commands import for_partner
from tests.incidents.planted import (
    DAY,
    HOUR,
    NOW,
    Planted,
    a_hundred,
    clean,
    failed_night,
    good_night,
    with_resource,
    with_stuck,
)


def told(facts: Facts) -> list[tuple[str, str]]:
    return [finding.key for finding in judge(facts).open_ if not finding.is_explained]


def test_nothing_is_open_where_everything_is_well() -> None:
    assert judge(clean()).open_ == ()


@pytest.mark.parametrize("planted", a_hundred(), ids=lambda planted: f"{planted.kind}-{planted.subject}")
def test_each_cause_is_one_incident(planted: Planted) -> None:
    assert told(planted.facts) == [(planted.kind, planted.subject)]


def test_every_kind_is_planted() -> None:
    assert {planted.kind for planted in a_hundred()} == kinds.KINDS.keys()


def test_a_night_that_totals_have_stopped_is_no_second_incident() -> None:
    facts = replace(
        with_resource(resource="transactions", differing=1, contradicted=1, is_proven=False),
        nights=failed_night(causes.CHECK_FAILED).nights,
    )
    assert told(facts) == [(kinds.TOTALS_DIFFER, "transactions")]


def test_causes_stay_until_a_night_has_ended_well() -> None:
    """A refused key is not over because the next night failed for something else."""
    nights = [good_night(NOW - 3 * DAY)]
    for number, cause in enumerate((causes.KEY_REFUSED, causes.API_UNREACHABLE)):
        at = NOW - (2 - number) * DAY
        nights.append(NightFact(at - HOUR, at, False, cause, "a reason"))
    assert told(clean(nights=tuple(nights))) == [(causes.KEY_REFUSED, "nightly"), (causes.API_UNREACHABLE, "nightly")]
    assert told(clean(nights=(*nights, good_night()))) == []


def test_commands_are_given_as_they_have_to_be_typed() -> None:
    text = "Run `debitura nightly`, or `debitura partners list`; Debitura pays. `debitura --partner b status`"
    assert for_partner(text, None) == text
    assert for_partner(text, "acme") == text.replace("`debitura nightly`", "`debitura --partner acme nightly`")
    assert for_partner("debitura doctor", "acme") == "debitura --partner acme doctor"


def test_a_night_that_failed_is_not_late_too_and_a_dead_daemon_explains_a_late_one() -> None:
    failed = failed_night(causes.NIGHT_FAILED, at=NOW - 2 * DAY).nights
    assert told(clean(nights=failed)) == [(causes.NIGHT_FAILED, "nightly")]
    facts = replace(clean(nights=(good_night(NOW - 2 * DAY),)), daemon=DaemonFact(NOW - DAY))
    assert told(facts) == [(kinds.DAEMON_STALE, "daemon")]


def test_a_claim_that_waits_for_a_stuck_client_is_the_clients_incident() -> None:
    since = NOW - timedelta(days=20)
    client = StuckFact(kinds.CLIENT_WAITING, "t", "t", "waiting", since)
    claims = [StuckFact(kinds.CLAIM_WAITING, f"t/{number}", "t", "waiting", since) for number in range(100)]
    assert told(with_stuck(client, *claims)) == [(kinds.CLIENT_WAITING, "t")]


@pytest.mark.parametrize(
    ("kind", "patience"),
    [(kinds.CLIENT_WAITING, timedelta(days=14)), (kinds.CLAIM_UNKNOWN, HOUR), (kinds.CLAIM_REFUSED, -HOUR)],
)
def test_the_patience_with_a_stuck_one_ends_when_it_should(kind: str, patience: timedelta) -> None:
    def at(since: datetime) -> list[tuple[str, str]]:
        return told(with_stuck(StuckFact(kind, "x", "x", "stuck", since)))

    assert at(NOW - patience + timedelta(minutes=1)) == [] or patience < timedelta()
    assert at(NOW - patience - timedelta(minutes=1)) == [(kind, "x")]


def test_what_was_not_looked_at_is_not_judged() -> None:
    """Else the daemon, which cannot read the warehouse, would report as over what is not."""
    facts = Facts(NOW, 14, nights=(good_night(),))
    assert not judge(facts).judged & {kinds.TOTALS_DIFFER, kinds.SUBSCRIPTION_OFF, kinds.DAEMON_STALE, causes.DISK_FULL}
    assert {kinds.TOTALS_DIFFER, causes.DISK_FULL} <= judge(clean()).judged


def test_a_cause_is_read_from_the_class_and_the_message_of_an_error() -> None:
    for error, cause in (
        (RefusedError("Reading failed: HTTP 401 on GET /me. The key is refused.", 401), causes.KEY_REFUSED),
        (RefusedError("Reading failed: HTTP 403 on GET /me.", 403), causes.KEY_REFUSED),
        (RefusedError("Reading failed: HTTP 403 on GET /cases (UnexpectedError).", 403), causes.PERMISSION_MISSING),
        (RefusedError("Reading failed: HTTP 404 on GET /me.", 404), causes.NIGHT_FAILED),
        (RateLimitExhausted("The day is used up."), causes.BUDGET_SPENT),
        (ShrinkRefused("Merging was refused."), causes.SHRINK_REFUSED),
        (WarehouseBusy("The server is down."), causes.WAREHOUSE_UNREADABLE),
        (OSError(28, "No space left on device"), causes.DISK_FULL),
        (ValueError("x"), causes.NIGHT_FAILED),
    ):
        assert cause_of(type(error).__name__, str(error)) == cause, error


def test_watch_is_content_only_with_a_night_of_the_last_26_hours_and_a_living_daemon() -> None:
    assert stale_reasons(clean()) == []
    assert stale_reasons(replace(clean(), daemon=DaemonFact(None))) == []  # no daemon ever ran
    (reason,) = stale_reasons(replace(clean(), daemon=DaemonFact(NOW - timedelta(minutes=6))))
    assert "heartbeat" in reason
    (reason,) = stale_reasons(clean(nights=(good_night(NOW - timedelta(hours=26)),)))
    assert "more than 26 hours" in reason
    assert stale_reasons(clean(nights=()))
    late, failed = stale_reasons(replace(failed_night(causes.NIGHT_FAILED), now=NOW + 4 * HOUR, daemon=None))
    assert "more than 26 hours" in late and "a reason" in failed
