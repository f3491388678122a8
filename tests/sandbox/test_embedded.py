"""The sandbox of a data directory: attached to, started, remembered, and free of personal data on disk."""

from __future__ import annotations

import json
import stat
import threading
import urllib.request

import pytest

from debitura_sandbox.server import embedded
from debitura_sandbox.world.codes import DAY_US

TINY = ("--clients", "6", "--cases", "80", "--transactions", "150")


def read(sandbox, path, body=None, key=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(sandbox.url + path, data, {"XApiKey": key or sandbox.key})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def truths(sandbox):
    return {name: read(sandbox, f"/sandbox/truth/{name}") for name in ("clients", "cases", "transactions")}


def test_world_is_the_same_after_a_restart(tmp_path):
    """Otherwise the second night would compare the warehouse with another world."""
    with embedded.running(tmp_path, arguments=TINY) as sandbox:
        day = embedded.advance(tmp_path, 2)
        added = embedded.add_client(tmp_path, is_signed=False, cases=5)
        embedded.sign_client(tmp_path, added["tenant"])
        before, when = truths(sandbox), json.loads(read(sandbox, "/sandbox/health"))["now"]
    assert day == 2
    assert not (tmp_path / "sandbox" / "server.json").exists()
    with embedded.running(tmp_path) as sandbox:
        assert sandbox.day == 2
        assert truths(sandbox) == before
        assert json.loads(read(sandbox, "/sandbox/health"))["now"] >= when
    assert embedded.advance(tmp_path, 1) == 3


def test_world_follows_a_clock_that_ran_on_for_days(tmp_path):
    """Left running for a month, the sandbox would show every payment as late, since nothing of its world had moved."""
    with embedded.running(tmp_path, arguments=TINY):
        pass
    file = tmp_path / "sandbox" / "state.json"
    state = json.loads(file.read_text())
    file.write_text(json.dumps(state | {"clock_us": state["clock_us"] + 3 * DAY_US + DAY_US // 2}))
    with embedded.running(tmp_path) as sandbox:
        assert sandbox.day == 3
        with embedded.running(tmp_path) as second:
            assert second.day == 3
        assert embedded.advance(tmp_path, 1) == 4


def test_second_user_attaches_to_the_running_sandbox(tmp_path):
    with embedded.running(tmp_path, arguments=TINY) as first:
        with embedded.running(tmp_path, advance_days=1) as second:
            assert (second.url, second.day) == (first.url, 1)
        assert read(first, "/me")
        facts = json.loads((tmp_path / "sandbox" / "server.json").read_text())
        assert facts["url"] == first.url
        for name in ("server.json", "state.json"):
            assert stat.S_IMODE((tmp_path / "sandbox" / name).stat().st_mode) == 0o600


def test_users_that_come_at_once_share_one_sandbox(tmp_path):
    urls, together = [], threading.Barrier(3)

    def use():
        together.wait(30)
        with embedded.running(tmp_path, arguments=TINY) as sandbox:
            urls.append(sandbox.url)
            together.wait(60)

    users = [threading.Thread(target=use) for _ in range(3)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert len(urls) == 3
    assert len(set(urls)) == 1


def test_stale_server_file_is_not_believed(tmp_path):
    home = tmp_path / "sandbox"
    home.mkdir()
    facts = {"url": "http://127.0.0.1:9", "customer_url": "http://127.0.0.1:9/customer", "pid": 1, "key": "x", "day": 0}
    (home / "server.json").write_text(json.dumps(facts))
    with embedded.running(tmp_path, arguments=TINY) as sandbox:
        assert sandbox.url != facts["url"]
        assert read(sandbox, "/me")


def test_state_holds_nothing_personal(tmp_path):
    wanted = {
        "externalTenantId": "roster-1",
        "client": {"name": "Keramikken i Ribe", "country": "Denmark", "supportEmail": "hansine@kragelund.example"},
        "users": [{"name": "Hansine Kragelund", "email": "hansine@kragelund.example", "isOnboardingUser": True}],
        "cases": [
            {"currencyCode": "DKK", "amountToRecover": 1250.5, "allowPendingContracts": True,
             "debtor": {"type": "Person", "name": "Ole Lukøje Thrane", "countryAlpha2": "DK"}}
        ],
    }  # fmt: skip
    with embedded.running(tmp_path, arguments=TINY) as sandbox:
        made = json.loads(read(sandbox, "/clients", wanted))
        assert made["client"]["companyName"] == "Keramikken i Ribe"
        embedded.advance(tmp_path, 2)
        served = json.loads(read(sandbox, "/sandbox/personal"))
    assert "hansine@kragelund.example" in served
    assert len(served) > 100
    for file in (tmp_path / "sandbox").iterdir():
        text = file.read_text()
        assert not [string for string in [*served, "Hansine", "Kragelund", "Ole Lukøje"] if string in text]
    with embedded.running(tmp_path) as sandbox:
        again = json.loads(read(sandbox, "/clients/roster-1"))
        assert again["client"]["id"] == made["client"]["id"]
        assert again["client"]["companyName"] == "Keramikken i Ribe", "companies are no people"
        assert again["caseStats"]["casesTotal"] >= 1


def test_refused_change_says_why(tmp_path):
    with embedded.running(tmp_path, arguments=TINY) as sandbox:
        with pytest.raises(embedded.SandboxError, match="there is no client nobody"):
            embedded.sign_client(tmp_path, "nobody")
        assert sandbox.day == 0
