"""Subscriptions at the API: the commands, what they send, what they show."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.api.writes import WriteResponse
from debitura_pipeline.errors import ApiError, SettingsError, ShapeError
from debitura_pipeline.incidents.webhook_facts import note_off, off_subscriptions
from debitura_pipeline.webhooks.subscriptions import SubscriptionChanges, check_url, parse_subscription
from debitura_pipeline.webhooks.watch import SubscriptionOff, describe_subscriptions, switched_off
from tests.support.command import Said, debitura
from tests.support.leaks import find
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox

URL = "https://hooks.example.com/webhooks/debitura"
ID = "7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a10"


def test_a_subscription_from_its_creation_to_its_end(shared_sandbox: RunningSandbox, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "data", shared_sandbox)
    pipeline.settings.data_dir.mkdir()

    def run(*arguments: str, writes: str = "webhooks") -> Said:
        return debitura("webhooks", *arguments, env={**pipeline.env, "DEBITURA_WRITES": writes})

    for arguments in (("subscribe", "--url", URL), ("rotate", ID), ("enable", ID), ("remove", ID)):
        said = run(*arguments, writes="clients")
        assert (
            said.status,
            "DEBITURA_WRITES does not allow webhook subscriptions to be changed" in said.error_line,
        ) == (2, True)
    assert shared_sandbox.get("/v1/Webhooks") == [], "nothing was sent"

    made = run("subscribe", "--url", URL, "--event", "case.closed", "--event", "client.linked")
    assert made.status == 0, made.err
    (found,) = shared_sandbox.get("/v1/Webhooks")
    assert (found["url"], found["events"], found["isTestMode"]) == (URL, ["case.closed", "client.linked"], False)
    secret = secret_of(made)
    rotated = secret_of(run("rotate", found["id"]))
    assert rotated != secret
    assert not find(tmp_path, [secret, rotated])
    shared_sandbox.send("PUT", f"/v1/Webhooks/{found['id']}", {"isActive": False})
    listed = run("list", writes="none")
    assert (listed.status, f"{found['id']}  off  {URL}" in listed.out, secret in listed.out) == (0, True, False)
    note_off(pipeline.settings.data_dir, [SubscriptionOff(found["id"], None, "x", is_automatic=True)])
    assert "Switched on" in run("enable", found["id"]).out
    assert shared_sandbox.get("/v1/Webhooks")[0]["isActive"]
    assert off_subscriptions(pipeline.settings.data_dir) == ()
    note_off(pipeline.settings.data_dir, [SubscriptionOff(found["id"], None, "x", is_automatic=True)])
    assert run("remove", found["id"].upper().replace("-", "")).status == 0
    assert off_subscriptions(pipeline.settings.data_dir) == ()
    assert shared_sandbox.get("/v1/Webhooks") == []
    gone = run("enable", found["id"])
    assert (gone.status, "HTTP 404" in gone.error_line) == (1, True)
    refused = run("subscribe", "--url", URL, "--event", "payment.created")
    assert (refused.status, "HTTP 400 (ValidationError)" in refused.error_line) == (1, True)


def test_answer_without_the_subscription_says_where_to_look(
    shared_sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline(tmp_path / "data", shared_sandbox, DEBITURA_WRITES="webhooks")
    changes = SubscriptionChanges(pipeline.settings, pipeline.endpoint)
    monkeypatch.setattr(changes, "_send", lambda *_: WriteResponse(201, None))
    with pytest.raises(ApiError, match=r"HTTP 201 without the subscription.*webhooks list.*webhooks rotate"):
        changes.subscribe(URL, ["client.linked"])
    with pytest.raises(ApiError, match=r"HTTP 201 without.*former secret is void: rotate it again"):
        changes.rotate(ID)
    with pytest.raises(ApiError, match=r"HTTP 201 without.*webhooks list") as raised:
        changes.enable(ID)
    assert "rotate" not in str(raised.value)
    changes.remove(ID)
    monkeypatch.setattr(changes, "_send", lambda *_: WriteResponse(200, None, is_unreadable=True))
    with pytest.raises(ApiError, match="not the API's"):
        changes.remove(ID)


def test_secret_that_may_have_been_replaced_is_to_be_replaced_again(
    shared_sandbox: RunningSandbox, tmp_path: Path
) -> None:
    pipeline = Pipeline(tmp_path / "data", shared_sandbox, DEBITURA_WRITES="webhooks")
    nowhere = replace(pipeline.endpoint, base_url="http://127.0.0.1:9")
    with pytest.raises(ApiError, match="former secret is void") as raised:
        SubscriptionChanges(pipeline.settings, nowhere).rotate(ID)
    assert "webhooks list" not in str(raised.value)


def test_changes_stay_within_the_write_budget(shared_sandbox: RunningSandbox, tmp_path: Path) -> None:
    """Each change had a limiter of its own: many of them at once took the minute's requests from the nightly run."""
    pipeline = Pipeline(
        tmp_path / "data", shared_sandbox, DEBITURA_REQUESTS_PER_MINUTE="10", DEBITURA_WRITES="webhooks"
    )
    clock, slept = [datetime(2026, 5, 4, tzinfo=UTC)], list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += timedelta(seconds=seconds)

    runtime = replace(Runtime(), now=lambda: clock[0], sleep=sleep)
    changes = SubscriptionChanges(pipeline.settings, pipeline.endpoint, runtime)
    made = changes.subscribe(URL, ["client.linked"])
    changes.enable(made.id)
    assert slept == []
    changes.remove(made.id)
    assert sum(slept) == pytest.approx(60), "a fifth of ten a minute"


def secret_of(said: Said) -> str:
    assert said.status == 0, said.err
    (secret,) = re.findall(r"^Secret: (\S+)$", said.out, re.MULTILINE)
    assert len(base64.b64decode(secret)) == 32
    return str(secret)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/in", "https://hooks.example.com:8480/in", "https://127.0.0.1/in", "https://10.0.0.7/in",
        "https://localhost/in", "https://user:pass@hooks.example.com/in", "https:///in", "https://hooks.example.com:x/in",
        f"https://hooks.example.com/{'x' * 1_024}", "hooks.example.com", "https://[::1]:8443/in",
    ],
)  # fmt: skip
def test_urls_that_the_api_does_not_deliver_to_are_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(SettingsError, match="--url") as refused:
        check_url(url, is_embedded=False)
    assert "pass@" not in str(refused.value)


def test_urls_that_it_delivers_to() -> None:
    for url in (URL, "https://hooks.example.com:443/x", "https://hooks.example.com:8443/x", "https://8.8.8.8/x"):
        check_url(url, is_embedded=False)
    check_url("http://127.0.0.1:8480/webhooks/debitura", is_embedded=True)


def test_both_spellings_of_an_answer_are_read() -> None:
    camel: dict[str, Any] = {
        "id": ID.upper(), "url": URL, "events": ["case.closed"], "isActive": False, "updatedUtc": "2026-05-04T09:12:33Z",
        "disabledReason": "Too many failures", "secret": "c2VjcmV0", "isTestMode": True,
    }  # fmt: skip
    pascal = {name[0].upper() + name[1:]: value for name, value in camel.items()}
    assert parse_subscription(camel) == parse_subscription(pascal)
    found = parse_subscription(camel)
    assert (found.id, found.is_active, found.is_test) == (ID, False, True)
    assert "c2VjcmV0" not in repr(found)
    with pytest.raises(ShapeError):
        parse_subscription({"url": URL})
    (off,) = switched_off([found, parse_subscription(camel | {"isActive": True})])
    assert off.is_automatic
    assert describe_subscriptions([off], 2).startswith(
        f"Webhook subscription {ID} is off since 2026-05-04 09:12 UTC: the API switched it off ("
    )
    assert not switched_off([parse_subscription(camel | {"disabledReason": None})])[0].is_automatic


@pytest.mark.parametrize("answer", [{"isActive": False}, {"isActive": True, "id": str(UUID(int=9))}, {}])
def test_subscription_is_on_only_if_the_answer_says_so(
    shared_sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    pipeline = Pipeline(tmp_path / "data", shared_sandbox, DEBITURA_WRITES="webhooks")
    changes, asked = SubscriptionChanges(pipeline.settings, pipeline.endpoint), str(UUID(int=1))
    monkeypatch.setattr(changes, "_send", lambda *_: WriteResponse(200, {"id": asked, **answer}))
    with pytest.raises(ApiError, match="does not say that it is on"):
        changes.enable(asked)


def test_what_the_api_says_of_a_subscription_can_be_printed() -> None:
    found = parse_subscription({"id": "\ud800\x1b[2J", "url": "https://user:pw@h.example/p@q", "events": ["a\x07"]})
    assert (found.id, found.url, found.events) == ("��[2j", "https://h.example/p@q", ("a�",))
    url = "https://hooks.example.com?to=ops@firm.example"
    assert parse_subscription({"id": ID, "url": url}).url == url
