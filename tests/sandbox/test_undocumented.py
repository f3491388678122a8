"""Switches for what the API does not document, faults of writing requests, and the ledger that tells what came of them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from debitura_sandbox.api.app import Sandbox
from debitura_sandbox.api.context import AppOptions
from debitura_sandbox.api.rate_limits import RateLimits
from debitura_sandbox.api.undocumented import Undocumented
from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import WorldOptions
from tests.sandbox.claims import CLAIM, Client, types
from tests.sandbox.local import LocalSandbox, exact
from tests.support.sandbox import ROOT


@pytest.fixture
def sandbox():
    return LocalSandbox()


@pytest.fixture
def client(sandbox):
    return Client(sandbox)


def switch(sandbox, **values):
    assert sandbox.call("POST", "/sandbox/undocumented", values).status == 200


def after(sandbox, seconds):
    assert sandbox.call("POST", "/sandbox/clock", {"seconds": seconds}).status == 200


def ledger(sandbox):
    return sandbox.get("/sandbox/ledger")


@pytest.mark.parametrize(("life_s", "kept_for_s"), [(0, -1), (86_400, 86_399), (None, 10**8)])
def test_keys_are_honoured_as_long_as_the_switch_says(sandbox, client, life_s, kept_for_s):
    switch(sandbox, key_life_s=life_s, refuses_duplicates=False)
    first = client.submit(key="k")[1]["id"]
    if kept_for_s > 0:
        after(sandbox, kept_for_s)
        assert Client(sandbox, client.tenant).submit(key="k")[1]["id"] == first
        after(sandbox, 2)
    assert (Client(sandbox, client.tenant).submit(key="k")[1]["id"] == first) == (life_s is None)


@pytest.mark.parametrize("replays", [True, False])
def test_refusal_is_replayed_or_decided_anew(sandbox, client, replays):
    switch(sandbox, replays_refusals=replays)
    sandbox.app.change({"op": "lack", "tenant": client.tenant, "types": ["CreditorBlocked"]})
    assert types(client.submit(key="k")[1]) == ["CreditorBlocked"]
    sandbox.app.change({"op": "lack", "tenant": client.tenant, "types": []})
    assert client.submit(key="k")[0] == (422 if replays else 200)
    assert client.submit(key="k2")[0] == (200 if replays else 422)


def test_duplicate_is_refused_under_any_name_or_accepted(sandbox, client):
    client.submit()
    switch(sandbox, duplicate_type="CreditorReferenceAlreadyExists")
    assert types(client.submit()[1]) == ["CreditorReferenceAlreadyExists"]
    switch(sandbox, refuses_duplicates=False)
    second = client.submit()[1]
    assert exact(client.by_reference(CLAIM["creditorReference"]).body)["id"] == second["id"]


def test_new_case_appears_late_in_all_lookups(sandbox, client):
    switch(sandbox, lookup_delay_s=600)
    made = client.submit()[1]
    for seconds, status, count in ((599, 404, 0), (2, 200, 1)):
        after(sandbox, seconds)
        assert client.by_reference(CLAIM["creditorReference"]).status == status
        assert client.call("GET", f"/cases/{made['id']}").status == status
        assert len(sandbox.rows("/cases", Query=CLAIM["creditorReference"])) == count
        assert types(client.submit()[1]) == ["DuplicateReference"], "the case is there, though nobody sees it"


def test_hidden_cases_do_not_make_a_rebuilt_world_another_one(tmp_path):
    options = WorldOptions(clients=6, cases=100, transactions=100)
    sandbox = LocalSandbox()
    sandbox.app = Sandbox(Journal(options, tmp_path / "state.json"), AppOptions(has_rate_limit=False), real=lambda: 0.0)
    switch(sandbox, lookup_delay_s=600)
    clients = [row["externalTenantId"] for row in sandbox.rows("/clients", OnboardingDone="true")]
    for tenant in clients[:2]:
        Client(sandbox, tenant).submit()
    sandbox.app.change({"op": "reset", "tenant": clients[0]})
    sandbox.app.change({"op": "advance", "days": 3})
    again = Journal.open(tmp_path / "state.json", options).world
    for name in again.cases.names:
        assert np.array_equal(sandbox.app.world.cases[name], again.cases[name]), name


def test_duplicate_of_a_case_that_is_not_seen_yet_can_be_accepted(sandbox, client):
    switch(sandbox, lookup_delay_s=600, duplicates_seen_late=True)
    assert client.submit()[0] == client.submit()[0] == 200
    after(sandbox, 601)
    assert len(sandbox.rows("/cases", Query=CLAIM["creditorReference"])) == 2


@pytest.mark.parametrize("kind", ["status", "reset", "close", "slow"])
@pytest.mark.parametrize(("effect", "found"), [("none", (404, 404)), ("now", (200, 200)), ("late", (404, 200))])
def test_request_without_an_answer_has_an_effect_or_not_or_late(sandbox, client, kind, effect, found):
    rule = {"kind": kind, "path": "/customer/cases", "method": "POST", "effect": effect, "effect_delay_s": 300}
    assert sandbox.call("POST", "/sandbox/faults", rule).status == 200
    client.get("/cases")
    response = client.call("POST", "/cases", CLAIM, key="k")
    broken = {"status": (500, None), "reset": (None, "reset"), "close": (None, "close"), "slow": (None, None)}[kind]
    assert response.connection_fault == broken[1]
    if broken[0]:
        assert response.status == broken[0]
    statuses = []
    for _ in range(2):
        statuses.append(client.by_reference(CLAIM["creditorReference"]).status)
        after(sandbox, 301)
    assert tuple(statuses) == found
    (entry,) = ledger(sandbox)
    assert (entry["fault"], entry["result"], bool(entry["subject"])) == (kind, 200 * (found[1] == 200), found[1] == 200)


def test_repeat_with_the_same_key_meets_an_effect_that_comes_late(sandbox, client):
    rule = {"kind": "reset", "path": "/customer/cases", "method": "POST", "effect": "late", "effect_delay_s": 300}
    sandbox.call("POST", "/sandbox/faults", rule)
    client.call("POST", "/cases", CLAIM, key="k")
    made = client.submit(key="k")[1]
    after(sandbox, 301)
    assert len(sandbox.rows("/cases", Query=CLAIM["creditorReference"])) == 1
    first, second = ledger(sandbox)
    assert (first["effect"], second["effect"], first["subject"]) == ("replayed", "created", made["id"])


def test_ledger_tells_what_was_sent_and_holds_nothing_personal(sandbox, client):
    preview = {"amountToRecover": 5, "currencyCode": "EUR", "debtor": {"type": "Private", "countryAlpha2": "DE"}}
    assert client.call("POST", "/cases/preview", preview).status == 200
    assert ledger(sandbox) == [], "previews and tokens write nothing"
    client.submit(key="k1")
    client.submit(key="k1")
    client.submit(key="k1", amountToRecover=5)
    sandbox.call("POST", "/clients", {"externalTenantId": "x", "client": {"name": "Zita Zobel GmbH"}})
    entries = ledger(sandbox)
    assert [(e["status"], e["effect"]) for e in entries] == [
        (200, "created"), (200, "replayed"), (422, "refused"), (400, "refused"),
    ]  # fmt: skip
    assert [e["tenant"] for e in entries] == [client.tenant] * 3 + ["x"]
    assert {(e["reference"], e["key"]) for e in entries[:3]} == {(CLAIM["creditorReference"], "k1")}
    assert len({e["body_hash"] for e in entries}) == 3
    assert entries[2]["error_types"] == ["IdempotencyConflict"]
    assert b"Zobel" not in sandbox.call("GET", "/sandbox/ledger").body
    assert sandbox.call("DELETE", "/sandbox/ledger").status == 204
    assert ledger(sandbox) == []


def test_field_errors_come_in_three_shapes(sandbox, client):
    for shape, key in (("fields", "currencyCode"), ("structured", "businessErrors"), ("problem", "errors")):
        switch(sandbox, field_errors=shape)
        response = client.call("POST", "/cases", CLAIM | {"currencyCode": None})
        assert (response.status, key in exact(response.body)) == (400, True)


def test_client_that_must_sign_again_is_refused_by_token_or_by_rule(sandbox, client):
    sandbox.app.change({"op": "upgrade", "tenant": client.tenant})
    assert client.call("GET", "/cases").status == 401
    switch(sandbox, tokens_while_resigning=True)
    status, refused = client.submit()
    assert (status, types(refused)) == (422, ["MissingDebtCollectionContract"])
    assert refused["businessErrors"][0]["solutionUrl"]
    status, waiting = client.submit(allowPendingContracts=True)
    assert (status, waiting["lifecycle"]) == (200, "Pending contract signing")
    assert client.get(f"/cases/{waiting['id']}/contract-status")["sdca"]["requiresResigning"] is True
    sandbox.app.change({"op": "sign", "tenant": client.tenant})
    assert client.get(f"/cases/{waiting['id']}")["lifecycle"] == "Pending Verification Internal"


def test_test_cases_are_listed_for_the_partner_or_not(sandbox, client):
    made = client.submit(isTest=True, tag="t")[1]
    assert sandbox.call("GET", f"/cases/{made['id']}").status == 200
    switch(sandbox, lists_test_cases=False)
    assert sandbox.call("GET", f"/cases/{made['id']}").status == 404
    assert sandbox.rows("/cases", Query=CLAIM["creditorReference"]) == []
    assert client.get(f"/cases/{made['id']}")["isTestCase"] is True


@pytest.mark.parametrize(("counted", "answered"), [("no", (8, 5)), ("key", (5, 0)), ("token", (7, 5))])
def test_calls_with_a_token_count_towards_limits_or_not(counted, answered):
    sandbox = LocalSandbox(app=AppOptions(undocumented=Undocumented(customer_calls_count=counted)))
    sandbox.app.limits = RateLimits(per_minute=7)
    client = Client(sandbox)  # takes two requests with the key
    with_token = [client.call("GET", "/cases").status for _ in range(8)]
    with_key = [sandbox.call("GET", "/me").status for _ in range(6)]
    assert (with_token.count(200), with_key.count(200)) == answered


def test_a_connection_is_closed_after_the_effect_and_before_it_over_http(sandbox_factory):
    sandbox = sandbox_factory(
        clients=3, cases=20, transactions=20, undocumented=["key_life_s=0", "refuses_duplicates=false"]
    )
    assert sandbox.admin("undocumented")["key_life_s"] == 0
    signed = sandbox.get("/clients", {"OnboardingDone": "true"})["clients"][0]["externalTenantId"]
    token = exact(sandbox.send("POST", "/oauth/token", {"externalTenantId": signed})[1])["accessToken"]
    bearer = {"Authorization": f"Bearer {token}"}
    fault = {"path": "/customer/cases", "method": "POST", "body": "WANTED"}
    sandbox.faults(
        *({"kind": kind, "effect": effect, **fault} for kind, effect in (("close", "now"), ("reset", "none")))
    )
    for _ in range(2):
        with pytest.raises(OSError):
            sandbox.send("POST", "/customer/cases", CLAIM | {"creditorReference": "WANTED"}, bearer)
    assert sandbox.send("POST", "/customer/cases", CLAIM | {"creditorReference": "other"}, bearer)[0] == 200
    assert [(e["reference"], e["status"], e["result"], e["effect"]) for e in sandbox.ledger()] == [
        ("WANTED", 0, 200, "created"), ("WANTED", 0, 0, ""), ("other", 200, 200, "created"),
    ]  # fmt: skip
    sandbox.undocumented(lookup_delay_s=60)
    sandbox.undocumented()
    assert sandbox.admin("undocumented")["lookup_delay_s"] == 0


def test_every_switch_and_its_default_are_documented():
    rows = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", (ROOT / "docs" / "sandbox.md").read_text(), re.MULTILINE))
    told = {name: text if text.isidentifier() else json.loads(text) for name, text in rows.items()}
    told |= {name: json.loads(text) for name, text in rows.items() if text in ("true", "false")}
    assert told == Undocumented().as_dict()


def test_switches_are_checked(sandbox):
    assert sandbox.call("POST", "/sandbox/undocumented", {"nonsense": 1}).status == 400
    assert sandbox.call("POST", "/sandbox/undocumented", {"replays_refusals": 1}).status == 400
    with pytest.raises(ValueError, match="key_life_s"):
        Undocumented.read(["key_life_s=soon"])
    read = Undocumented.read(["key_life_s=null", "field_errors=problem", "lookup_delay_s=30"])
    assert (read.key_life_s, read.field_errors, read.lookup_delay_s) == (None, "problem", 30.0)
