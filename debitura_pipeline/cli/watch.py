"""Output of `debitura watch` and of `debitura doctor --alert-test`."""

from __future__ import annotations

from datetime import UTC, datetime

from debitura_pipeline.cli import console, json_document
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.incidents.delivery import Outgoing, name_of, send, target_of, targets_of
from debitura_pipeline.incidents.state import read_state
from debitura_pipeline.incidents.update import visible
from debitura_pipeline.orchestration.telling import check_staleness
from debitura_pipeline.plural import counted
from debitura_pipeline.settings import Settings

TEST_TITLE = "Debitura: test alert"
TEST_BODY = "`debitura doctor --alert-test` sent this. Incidents of the pipeline are reported here."


def watch_once(settings: Settings, now: datetime | None = None) -> bool:
    """Print the reasons why the pipeline is stale, or that it is not. False if it is stale. `now`: aware; the clock's if None."""
    now = now or datetime.now(UTC)
    reasons = check_staleness(settings, now)
    state = read_state(settings.data_dir)
    open_ = visible(state, now) if state else []
    json_document.give(reasons=reasons, open_incidents=len(open_))
    if reasons:
        console.complain(" ".join(reasons))
        json_document.fail(" ".join(reasons))
        return False
    more = f" Open: {counted(len(open_), 'incident')}, listed by `debitura status`." if open_ else ""
    console.conclude(f"The last good nightly run is at most 26 hours old.{more}")
    return True


def send_test_alerts(settings: Settings) -> bool:
    """Send one message to each address and print which have failed; whether all have worked. Raises SettingsError."""
    if not settings.alerts.urls:
        raise SettingsError("DEBITURA_ALERTS is not set, so no alert can be sent. Example: DEBITURA_ALERTS=slack://…")
    targets = targets_of(settings)
    (attempts,) = send(settings, [Outgoing(TEST_TITLE, TEST_BODY, "info", targets)])
    delivered = attempts.delivered
    for url in settings.alerts.urls:
        name = name_of(settings, target_of(url))
        if target_of(url) in delivered:
            console.say(f"ok   {name}: delivered")
        else:
            console.warn(
                f"FAIL {name}: not delivered. Check the address in DEBITURA_ALERTS, and that its service is reachable."
            )
            json_document.fail(f"{name}: not delivered")
    json_document.give(alerts=[{"what": name_of(settings, t), "is_delivered": t in delivered} for t in targets])
    return len(delivered) == len(targets)
