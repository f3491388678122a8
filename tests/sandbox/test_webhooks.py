"""Webhooks: subscriptions, signatures, real deliveries, attempts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise

import pytest

from debitura_sandbox.api.app import Sandbox
from debitura_sandbox.api.context import AppOptions
from debitura_sandbox.api.undocumented import Undocumented
from debitura_sandbox.api.webhooks import DELAYS_S
from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import WorldOptions
from tests.sandbox.claims import Client
from tests.sandbox.local import LocalSandbox, exact

HOOK = {"url": "https://hooks.example/in", "events": ["case.created", "case.updated", "client.linked"]}
NOW = 1_767_600_000.0


def subscribe(sandbox, **changes):
    return exact(sandbox.call("POST", "/v1/Webhooks", HOOK | changes).body)


def test_secret_is_shown_once_and_again_after_rotation():
    sandbox = LocalSandbox()
    made = subscribe(sandbox)
    path = f"/v1/Webhooks/{made['id']}"
    assert len(base64.b64decode(made["secret"])) == 32
    assert sandbox.get(path)["secret"] is None
    assert [hook["secret"] for hook in sandbox.get("/v1/Webhooks")] == [None]
    rotated = exact(sandbox.call("PUT", path, {"regenerateSecret": True}).body)
    assert rotated["secret"] not in (None, made["secret"])
    assert exact(sandbox.call("PUT", path, {"events": ["case.closed"]}).body)["secret"] is None
    assert sandbox.call("DELETE", path).status == 204
    assert sandbox.call("GET", path).status == 404


@pytest.mark.parametrize(
    "wrong", [{"url": "http://hooks.example/in"}, {"url": "nonsense"}, {"events": []}, {"events": ["payment.created"]}]
)
def test_wrong_subscriptions_are_refused(wrong):
    assert LocalSandbox().call("POST", "/v1/Webhooks", HOOK | wrong).status == 400


def test_local_targets_are_refused_where_the_sandbox_is_strict():
    strict = LocalSandbox(app=AppOptions(has_rate_limit=False, accepts_local_webhooks=False))
    assert strict.call("POST", "/v1/Webhooks", HOOK | {"url": "https://127.0.0.1:1/in"}).status == 400


def test_a_moving_world_announces_what_was_subscribed_to():
    sandbox = LocalSandbox(wall=lambda: NOW)
    secret = subscribe(sandbox)["secret"]
    sandbox.app.change({"op": "advance", "days": 5})
    sent = []

    def send(url, body, headers):
        sent.append((body, headers))
        return 200

    count = sandbox.app.webhooks.deliver_due(NOW, send)
    assert count == len(sent) > 5
    names = {headers["X-Debitura-Event"] for _, headers in sent}
    assert names == {"case.created", "case.updated", "client.linked"}
    for body, headers in sent:
        stamp, _, digest = headers["X-Debitura-Signature"].removeprefix("t=").partition(",v1=")
        assert stamp == headers["X-Debitura-Timestamp"] == str(int(NOW))
        expected = hmac.new(base64.b64decode(secret), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(digest, expected)
        envelope = exact(body)
        assert envelope.keys() == {"id", "specVersion", "event", "timestamp", "data", "links"}
        assert envelope["data"]["externalTenantId"]
    assert len({exact(body)["id"] for body, _ in sent}) == len(sent)
    updated = [exact(body)["data"] for body, headers in sent if headers["X-Debitura-Event"] == "case.updated"]
    assert all(data["oldLifecycle"] != data["newLifecycle"] for data in updated)


def test_eight_failed_attempts_switch_a_subscription_off_until_it_is_switched_on():
    clock = [NOW]
    sandbox = LocalSandbox(wall=lambda: clock[0])
    made = subscribe(sandbox)
    event = {"eventType": "client.linked", "externalTenantId": "tenant-002"}
    assert exact(sandbox.call("POST", "/v1/Webhooks/test", event).body)["enqueuedCount"] == 1
    tried = []
    for second in range(sum(DELAYS_S) * 6 // 5):
        clock[0] = NOW + second
        tried += [second] * sandbox.app.webhooks.deliver_due(clock[0], lambda *_: 503)
    pauses = [later - earlier for earlier, later in pairwise([0, *tried])]
    assert len(pauses) == 8
    assert all(0.9 * delay <= pause <= 1.1 * delay + 1 for pause, delay in zip(pauses, DELAYS_S, strict=True))
    assert pauses != list(DELAYS_S), "pauses vary"
    path = f"/v1/Webhooks/{made['id']}"
    assert (sandbox.get(path)["isActive"], sandbox.get(path)["disabledReason"]) == (False, "8 attempts failed.")
    assert exact(sandbox.call("POST", "/v1/Webhooks/test", event).body)["enqueuedCount"] == 0
    on = exact(sandbox.call("PUT", path, {"isActive": True}).body)
    assert (on["isActive"], on["disabledReason"]) == (True, None)


def trigger(sandbox, times=1):
    for _ in range(times):
        sandbox.call("POST", "/v1/Webhooks/test", {"eventType": "client.linked", "externalTenantId": "tenant-002"})


def deliveries(sandbox, now, status=lambda number: 200):
    """What is delivered at an instant: (event id, stamp) each."""
    sent = []

    def post(_, body, headers):
        sent.append((exact(body)["id"], headers["X-Debitura-Timestamp"]))
        return status(len(sent))

    sandbox.app.webhooks.deliver_due(now, post)
    return sent


def with_switches(**switches):
    sandbox = LocalSandbox(app=AppOptions(undocumented=Undocumented().changed(switches)), wall=lambda: NOW)
    subscribe(sandbox)
    return sandbox


def test_events_are_repeated_and_change_their_order_on_request():
    sandbox = with_switches(delivery_repeats=2, delivery_spread_s=30)
    trigger(sandbox, 10)
    queued = [exact(delivery.body)["id"] for delivery in sandbox.app.webhooks.deliveries]
    arrived = [id_ for second in range(100) for id_, _ in deliveries(sandbox, NOW + second)]
    assert Counter(arrived) == dict.fromkeys(queued, 3)
    assert list(dict.fromkeys(arrived)) != queued


@pytest.mark.parametrize("keeps", [True, False])
def test_retry_has_a_stamp_of_its_own_or_that_of_the_first_attempt(keeps):
    sandbox = with_switches(retries_keep_stamp=keeps)
    trigger(sandbox)
    ((id_, first),) = deliveries(sandbox, NOW, lambda _: 503)
    assert deliveries(sandbox, NOW + 70) == [(id_, first if keeps else str(int(NOW) + 70))]


@pytest.mark.parametrize(("counted", "is_active"), [("subscription", False), ("delivery", True)])
def test_failures_count_for_the_subscription_or_for_each_delivery(counted, is_active):
    sandbox = with_switches(failures_count=counted)
    trigger(sandbox, 8)
    assert len(deliveries(sandbox, NOW, lambda _: 503)) == 8
    assert sandbox.get("/v1/Webhooks")[0]["isActive"] is is_active


def test_deliveries_follow_the_simulated_clock_on_request():
    sandbox = with_switches(delivery_clock="simulated")
    trigger(sandbox)
    now = sandbox.app.delivery_s()
    assert now == sandbox.app.clock.now_us() / 1_000_000 != NOW
    assert [stamp for _, stamp in deliveries(sandbox, now, lambda _: 503)] == [str(int(now))]
    sandbox.call("POST", "/sandbox/clock", {"seconds": 70})
    assert [stamp for _, stamp in deliveries(sandbox, sandbox.app.delivery_s())] == [str(int(now) + 70)]


def test_events_of_test_cases_go_to_subscriptions_in_test_mode():
    sandbox = LocalSandbox(wall=lambda: NOW)
    modes = {subscribe(sandbox, isTestMode=mode)["id"]: mode for mode in (True, False)}
    client = Client(sandbox)
    for is_test in (True, False):
        client.submit(isTest=is_test, creditorReference=str(is_test))
    queued = sandbox.app.webhooks.deliveries
    cases = [sandbox.app.find("cases", exact(each.body)["data"]["caseId"]) for each in queued]
    assert [modes[each.subscription] for each in queued] == [
        sandbox.app.world.submissions.is_test(row) for row in cases if row is not None
    ]
    assert len(queued) == 2


def test_subscriptions_outlive_a_restart_and_ids_of_events_never_repeat(tmp_path):
    ids, file, options = [], tmp_path / "state.json", WorldOptions(clients=3, cases=20, transactions=20)
    for _ in range(2):
        sandbox = LocalSandbox(clients=3, cases=20, transactions=20)
        sandbox.app = Sandbox(Journal.open(file, options), AppOptions(has_rate_limit=False), wall=lambda: NOW)
        made = sandbox.get("/v1/Webhooks") or [subscribe(sandbox)]
        trigger(sandbox, 2)
        ids += [exact(delivery.body)["id"] for delivery in sandbox.app.webhooks.deliveries]
        sandbox.app.journal.keep_clock(sandbox.app.clock.now_us())
    assert [hook["id"] for hook in made] == [hook["id"] for hook in sandbox.get("/v1/Webhooks")]
    assert len(set(ids)) == len(ids) == 4
    (secret,) = {sandbox.app.webhooks.secret_of(each) for each in sandbox.app.webhooks.subscriptions.values()}
    assert secret not in file.read_text()
    sandbox.app.webhooks.deliver_due(NOW, lambda *_: 410)
    assert sandbox.get("/v1/Webhooks")[0]["isActive"] is False
    again = Journal.open(file, options)
    assert [each["is_active"] for each in again.world.webhooks] == [False], "also that it was switched off"


def test_410_switches_off_at_once():
    sandbox = LocalSandbox(wall=lambda: NOW)
    made = subscribe(sandbox)
    sandbox.call("POST", "/v1/Webhooks/test", {"eventType": "client.linked", "externalTenantId": "tenant-002"})
    sandbox.app.webhooks.deliver_due(NOW, lambda *_: 410)
    assert not sandbox.get(f"/v1/Webhooks/{made['id']}")["isActive"]


def test_test_events_need_their_subject_and_the_test_environment():
    sandbox, production = LocalSandbox(), LocalSandbox(is_test_environment=False)
    case = sandbox.get("/cases")["cases"][0]["id"]
    for body, status in (
        ({"eventType": "case.closed", "caseId": case}, 200),
        ({"eventType": "case.closed"}, 400),
        ({"eventType": "case.closed", "caseId": "00000000-0000-4000-8000-000000000000"}, 404),
        ({"eventType": "client.linked", "externalTenantId": "nobody"}, 404),
        ({"eventType": "cases.replay_failed"}, 400),
    ):
        assert sandbox.call("POST", "/v1/Webhooks/test", body).status == status
    assert production.call("POST", "/v1/Webhooks/test", {"eventType": "case.closed", "caseId": case}).status == 403


def test_events_arrive_over_http(sandbox_factory):
    arrived = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            arrived.append((self.headers["X-Debitura-Event"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if len(arrived) == 1 else 204)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        sandbox = sandbox_factory(webhook_delay_scale=0.001)
        url = f"http://127.0.0.1:{server.server_port}/in"
        assert sandbox.send("POST", "/v1/Webhooks", {"url": url, "events": ["client.linked"]})[0] == 200
        sandbox.admin("clients", {"tenant": "announced"})
        deadline = time.monotonic() + 20
        while len(arrived) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [name for name, _ in arrived] == ["client.linked", "client.linked"]
        assert arrived[0][1] == arrived[1][1]
        assert exact(arrived[0][1])["data"]["externalTenantId"] == "announced"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
