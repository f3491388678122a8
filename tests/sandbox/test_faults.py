"""Faults on order, over real HTTP where a connection is broken, in process where only a body is spoilt."""

from __future__ import annotations

import http.client
import json
import time
import urllib.request

import pytest

from tests.sandbox.local import LocalSandbox, exact


@pytest.fixture
def local():
    return LocalSandbox()


def order(local, **rule):
    assert local.call("POST", "/sandbox/faults", [rule]).status == 200


def page(local, path="/cases", **params):
    return local.call("GET", path, params=[("PageSize", 20), ("Sort", "DateCreated:asc"), *params.items()])


def test_nth_request_fails_as_often_as_told(local):
    order(local, kind="status", status=503, path="/cases", nth=2, times=2)
    assert [page(local).status for _ in range(5)] == [200, 503, 503, 200, 200]
    order(local, kind="status", status=500, path="/reporting*", query="RevenueStages=3", times=0)
    assert page(local, "/reporting/transactions").status == 200
    assert [page(local, "/reporting/transactions", RevenueStages=3).status for _ in range(3)] == [500] * 3
    local.call("DELETE", "/sandbox/faults")
    assert page(local, "/reporting/transactions", RevenueStages=3).status == 200
    assert exact(local.call("GET", "/sandbox/log").body)["fault status"] == 5


def test_refusal_for_rate_has_its_wait_in_the_body(local):
    order(local, kind="rate_limited", retry_after=0.25)
    refused = page(local)
    assert (refused.status, refused.headers, exact(refused.body)["retryAfter"]) == (429, {}, exact(b"0.25"))


def test_html_page_with_status_200(local):
    order(local, kind="html")
    answer = page(local)
    assert (answer.status, answer.content_type) == (200, "text/html; charset=utf-8")
    assert answer.body.startswith(b"<!DOCTYPE")


@pytest.mark.parametrize("path", ["/cases", "/reporting/transactions", "/clients"])
def test_spoilt_bodies(local, path):
    key = {"/cases": "cases", "/clients": "clients", "/reporting/transactions": "data"}[path]
    good = exact(page(local, path).body)
    spoilt = {}
    for kind in ("bad_row", "drift", "pascal", "page_data", "null_rows", "no_summary"):
        order(local, kind=kind, path=path, how="bad_amount", row=3)
        spoilt[kind] = exact(page(local, path).body)
    assert '"abc"' in json.dumps(spoilt["bad_row"][key][3], default=str)
    assert spoilt["bad_row"][key][:3] == good[key][:3]
    assert all("channelHint" in row for row in spoilt["drift"][key])
    assert spoilt["pascal"]["Page"]["TotalResults"] == good["page"]["totalResults"]
    assert "Page" not in json.dumps(list(spoilt["page_data"]))
    assert spoilt["page_data"]["pageData"] == good["page"]
    assert (spoilt["null_rows"][key], spoilt["null_rows"]["page"]["responseCount"]) == (None, len(good[key]))
    assert "summary" not in spoilt["no_summary"]
    assert exact(page(local, path).body) == good


@pytest.mark.parametrize("how", ["no_id", "bad_date"])
def test_bad_row_by_id_follows_its_row_from_page_to_page(local, how):
    row = exact(page(local, Page=2).body)["cases"][4]
    order(local, kind="bad_row", how=how, id=row["id"], path="/cases", times=0)
    assert exact(page(local, Page=1).body)["cases"][4]["dateCreated"][:2] == "20"
    bad = exact(page(local, Page=2).body)["cases"][4]
    assert "id" not in bad if how == "no_id" else bad["dateCreated"] == "31/12/2025 late"


def test_row_deleted_between_two_pages_shifts_the_rest(local):
    """The case that proofs of completeness exist for: without one, a row would be read by nobody."""
    before = [row["id"] for row in local.rows("/cases", Sort="DateCreated:asc")]
    change = {"op": "row", "resource": "cases", "action": "delete", "row": 0}
    order(local, kind="change", path="/cases", nth=1, when="after", change=change)
    read = [row["id"] for number in (1, 2, 3) for row in exact(page(local, Page=number).body)["cases"]]
    assert read[:20] == before[:20]
    assert read[20:40] == before[21:41]


def test_wrong_rules_are_refused_with_a_reason(local):
    for rule in ({"kind": "meteor"}, {"path": "/cases"}, {"kind": "html", "colour": "red"}, {"kind": "change"}):
        refused = local.call("POST", "/sandbox/faults", [rule])
        assert refused.status == 400
        assert exact(refused.body)["title"]


@pytest.fixture(scope="module")
def sandbox():
    from tests.support.sandbox import start_sandbox

    running = start_sandbox(clients=5, cases=150, transactions=200, no_rate_limit=True)
    yield running
    running.stop()


def test_truncated_body_is_shorter_than_announced(sandbox):
    sandbox.faults({"kind": "truncate", "path": "/cases"})
    with pytest.raises(http.client.IncompleteRead):
        sandbox.send("GET", "/cases?PageSize=100")
    assert sandbox.send("GET", "/cases?PageSize=100")[0] == 200


def test_connection_is_reset(sandbox):
    sandbox.faults({"kind": "reset", "path": "/cases"})
    with pytest.raises(ConnectionResetError):
        sandbox.send("GET", "/cases?PageSize=100")
    assert sandbox.send("GET", "/cases?PageSize=100")[0] == 200


def test_stalled_response_hangs_while_others_are_answered(sandbox):
    sandbox.faults({"kind": "stall", "path": "/cases", "delay_s": 30})
    request = urllib.request.Request(f"{sandbox.url}/cases?PageSize=100", headers={"XApiKey": sandbox.key})
    began = time.monotonic()
    with urllib.request.urlopen(request, timeout=0.5) as answer, pytest.raises(TimeoutError):
        answer.read()
    assert sandbox.send("GET", "/cases?PageSize=100")[0] == 200
    assert time.monotonic() - began < 20


def test_slow_answer_is_late_but_whole(sandbox):
    sandbox.faults({"kind": "slow", "path": "/me", "delay_s": 0.3})
    began = time.monotonic()
    assert sandbox.send("GET", "/me")[0] == 200
    assert time.monotonic() - began >= 0.3
