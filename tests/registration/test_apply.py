"""`clients apply` against the sandbox over HTTP: each client once, and again only while in doubt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.errors import SettingsError, SourceError
from debitura_pipeline.outbound.plan_document import PlanMoved
from debitura_pipeline.registration import client_links
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.registration.partner import RUNTIME, Partner
from tests.source.rows import client_row
from tests.support.altering import Instead, altering
from tests.support.command import debitura
from tests.support.day import engine_of_the_day
from tests.support.leaks import find
from tests.support.sandbox import RunningSandbox, start_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=3, cases=2, transactions=2, seed=5, no_rate_limit=True)
    yield running
    running.stop()


@pytest.fixture
def partner(tmp_path: Path, sandbox: RunningSandbox, request: pytest.FixtureRequest) -> Partner:
    """On DuckDB, or on both engines for a test that asks for `warehouse_env`. Faults and ledger of other tests are gone."""
    sandbox.faults()
    sandbox.admin("ledger", method="DELETE")
    env = request.getfixturevalue("warehouse_env") if "warehouse_env" in request.fixturenames else {}
    return Partner(tmp_path, sandbox, **env)


_next = iter(range(1, 10_000))


def rows(count: int = 1) -> list[dict[str, str]]:
    """Clients that no other test has."""
    return [client_row(next(_next)) for _ in range(count)]


def tenants(wanted: list[dict[str, str]]) -> list[str]:
    return [row["external_tenant_id"] for row in wanted]


def fault(kind: str, **options: Any) -> dict[str, Any]:
    return {"kind": kind, "path": "/clients", "method": "POST", **options}


@pytest.mark.usefixtures("warehouse_env")
def test_each_client_is_sent_once_and_a_second_apply_sends_nothing(partner: Partner) -> None:
    wanted = rows(3)
    partner.wants(*wanted, client_row(0, user_email="none"))
    assert [one.state for one in partner.plan().clients] == ["planned"] * 3 + ["invalid"]
    assert partner.sent() == []
    first = partner.apply()
    assert first.document.summary == {"invalid": 1, "pending_signature": 3} and not first.is_open
    second = partner.apply()
    assert (second.sent, second.document.summary) == (0, first.document.summary)
    assert partner.sent() == tenants(wanted)
    assert partner.states() == dict.fromkeys(tenants(wanted), "pending_signature") | {"tenant-0": "invalid"}


@pytest.mark.parametrize(
    ("rule", "requests"),
    [
        (fault("status", status=500), 2),
        (fault("status", status=503, effect="now"), 2),
        (fault("reset"), 2),
        (fault("rate_limited", retry_after=0.1), 2),
    ],
)
def test_answer_that_never_came_is_resolved_by_sending_the_same_again(
    partner: Partner, rule: dict[str, Any], requests: int
) -> None:
    (wanted,) = rows()
    partner.wants(wanted)
    partner.sandbox.faults(rule)
    assert partner.apply().document.summary == {"pending_signature": 1}
    assert len(partner.sent()) == requests
    assert all(len(bodies) == 1 for bodies in partner.bodies().values())


def test_client_stays_in_doubt_until_the_next_apply(partner: Partner) -> None:
    lost, other = rows(2)
    partner.wants(lost, other)
    partner.sandbox.faults(fault("status", status=502, times=3))
    first = partner.apply()
    assert first.is_open and first.document.summary == {"pending_signature": 1, "sent": 1}
    partner.wants(other, {**lost, "company_name": "Renamed meanwhile"})
    assert partner.apply().document.summary == {"pending_signature": 1, "sent": 1}
    later = replace(RUNTIME, now=lambda: datetime.now(UTC) + timedelta(minutes=16))
    assert partner.apply(runtime=later).document.summary == {"pending_signature": 2}
    assert len(partner.sent()) == 5


def test_client_in_doubt_that_is_listed_meanwhile_is_not_sent_again(partner: Partner) -> None:
    wanted = rows()
    partner.wants(*wanted)
    partner.sandbox.faults(fault("status", status=502, times=3, effect="now"))
    assert partner.apply().document.summary == {"sent": 1}
    assert partner.apply().document.summary == {"pending_signature": 1}
    assert len(partner.sent()) == 3


def test_refused_client_is_sent_again_only_when_its_row_changed(partner: Partner) -> None:
    (wanted,) = rows()
    partner.wants(wanted)
    partner.sandbox.faults(fault("status", status=422))
    for _ in range(2):
        found = partner.apply()
        assert found.is_open and found.document.summary == {"refused": 1}
    assert len(partner.sent()) == 1
    assert partner.rows("SELECT http_status, error_types, attempts FROM ops.registrations") == [
        (422, "UnexpectedError", 1)
    ]
    partner.wants({**wanted, "city": "Aarhus"})
    assert partner.apply().document.summary == {"pending_signature": 1}


def test_conflicts_and_links(partner: Partner) -> None:
    known, elsewhere, fresh = rows(3)
    listed = next(row for row in partner.sandbox.truth("clients"))
    known["support_email"] = listed["client"]["officeEmail"]
    elsewhere["support_email"] = "office@taken-elsewhere.example"
    partner.wants(known, elsewhere, fresh)
    found = partner.apply()
    assert [row.state for row in found.document.rows] == ["needs_linking", "linked_elsewhere", "pending_signature"]
    assert not found.is_open
    sent = len(partner.sent())
    assert partner.apply().sent == 0
    links = {one.tenant: one for one in client_links(partner.settings, partner.endpoint, runtime=RUNTIME)}
    assert partner.sent()[sent:] == [known["external_tenant_id"]]
    for one in (known, fresh):
        assert links[one["external_tenant_id"]].url is not None
    assert elsewhere["external_tenant_id"] not in links
    quiet = Partner(partner.settings.data_dir.parent, partner.sandbox, DEBITURA_WRITES="none")
    (only,) = client_links(quiet.settings, quiet.endpoint, known["external_tenant_id"], runtime=RUNTIME)
    assert only.url is None and len(partner.sent()) == sent + 1
    for url in (one.url for one in links.values() if one.url):
        assert not find(partner.settings.data_dir, [url])


@pytest.mark.parametrize("rule", [{"kind": "status", "status": 401}, {"kind": "rate_limited", "retry_after": 0.01}])
def test_fresh_link_that_was_not_given_is_not_asked_for_by_the_next_apply(
    partner: Partner, rule: dict[str, Any]
) -> None:
    (known,) = rows(1)
    known["support_email"] = next(iter(partner.sandbox.truth("clients")))["client"]["officeEmail"]
    partner.wants(known)
    partner.apply()
    before = partner.rows(
        "SELECT row_hash, state, http_status, error_types, outcome_at, message FROM ops.registrations"
    )
    partner.sandbox.faults(fault(times=10, **rule))
    (link,) = client_links(partner.settings, partner.endpoint, known["external_tenant_id"], runtime=RUNTIME)
    assert (link.state, link.url) == ("needs_linking", None)
    assert before == partner.rows(
        "SELECT row_hash, state, http_status, error_types, outcome_at, message FROM ops.registrations"
    )
    partner.sandbox.faults()
    assert partner.apply().sent == 0


def test_refused_key_stops_the_apply_and_leaves_nobody_in_doubt(partner: Partner) -> None:
    partner.wants(*rows(3))
    partner.sandbox.faults(fault("status", status=401))
    found = partner.apply()
    assert found.stopped is not None and "DEBITURA_API_KEY" in found.stopped
    assert found.document.summary == {"planned": 3} and len(partner.sent()) == 1
    assert set(partner.states().values()) == {"planned"}


@pytest.mark.parametrize("effect", ["none", "now"])
def test_answer_of_a_proxy_blocks_nobody(partner: Partner, effect: str) -> None:
    partner.wants(*rows(4))
    partner.sandbox.faults(fault("status", status=404, effect=effect, times=3))
    found = partner.apply()
    assert found.stopped is not None and "DEBITURA_API_URL" in found.stopped
    assert found.document.summary == {"planned": 1, "sent": 3}
    assert partner.apply().document.summary == {"pending_signature": 4}


def test_row_that_a_gateway_refuses_holds_up_nobody_else(partner: Partner) -> None:
    """It was sent first in every run, and every run ended with it."""
    first, *others = rows(4)
    partner.wants(first, *others)
    partner.sandbox.faults(fault("status", status=413, body=first["external_tenant_id"], times=0))
    for _ in range(2):
        found = partner.apply()
        assert found.stopped is None
        assert found.document.summary == {"pending_signature": 3, "sent": 1}


def test_brake_stops_the_apply(partner: Partner) -> None:
    partner.wants(*rows(30))
    partner.sandbox.faults(fault("status", status=400, times=0))
    found = partner.apply()
    assert found.stopped is not None and "of the last 20 clients" in found.stopped
    assert found.document.summary == {"planned": 10, "refused": 20}


def test_kept_plan_binds(partner: Partner, tmp_path: Path) -> None:
    first, second = rows(2)
    partner.wants(first, second)
    partner.plan().document.keep(tmp_path / "plan.json")
    assert first["user_name"] not in (tmp_path / "plan.json").read_text()
    partner.wants(first, {**second, "city": "Aarhus"})
    with pytest.raises(PlanMoved, match=rf"1 row changed \(first: {second['external_tenant_id']}"):
        partner.apply(tmp_path / "plan.json")
    assert partner.sent() == []
    partner.wants(first, second)
    assert partner.apply(tmp_path / "plan.json").document.summary == {"pending_signature": 2}


def test_withdrawn_client_is_never_registered_again_by_itself(partner: Partner) -> None:
    wanted = rows()
    partner.wants(*wanted)
    partner.apply()
    status, _ = partner.sandbox.send("POST", f"/clients/{wanted[0]['external_tenant_id']}/withdraw")
    assert status == 204
    for _ in range(2):
        assert partner.apply().document.summary == {"withdrawn": 1}
    assert len(partner.sent()) == 1
    assert partner.apply(again=[wanted[0]["external_tenant_id"]]).document.summary == {"pending_signature": 1}


def test_without_the_right_to_write_nothing_is_read_or_sent(partner: Partner) -> None:
    partner.wants(*rows())
    quiet = Partner(partner.settings.data_dir.parent, partner.sandbox, DEBITURA_WRITES="cases,webhooks")
    before = partner.sandbox.log()
    with pytest.raises(SettingsError, match="Example: DEBITURA_WRITES=clients"):
        quiet.apply()
    assert partner.sandbox.log() == before


def test_roster_that_shrank_registers_nobody(partner: Partner) -> None:
    wanted = rows(4)
    partner.wants(*wanted)
    partner.plan()
    partner.wants(wanted[0])
    with pytest.raises(SourceError, match="has 1 row, but had 4"):
        partner.apply()
    assert partner.sent() == []


@pytest.mark.usefixtures("warehouse_env")
@engine_of_the_day("postgresql")
def test_replay_and_upgrade_keep_registrations(partner: Partner) -> None:
    partner.wants(*rows(2))
    partner.sync()
    partner.apply()
    before = partner.rows("SELECT * FROM ops.registrations ORDER BY 1")
    assert len(before) == 2
    assert debitura("replay", env=partner.env).status == 0
    assert partner.rows("SELECT * FROM ops.registrations ORDER BY 1") == before
    with open_warehouse(partner.settings) as warehouse:
        warehouse.execute("ALTER TABLE ops.registrations DROP COLUMN message")
    assert [one.state for one in partner.plan().clients] == ["pending_signature"] * 2
    assert partner.apply().sent == 0
    assert partner.rows("SELECT * FROM ops.registrations ORDER BY 1") == before


def test_backup_keeps_registrations(partner: Partner, tmp_path: Path) -> None:
    partner.wants(*rows(2))
    partner.apply()
    before = partner.rows("SELECT * FROM ops.registrations ORDER BY 1")
    assert debitura("backup", str(tmp_path / "b.tar"), env=partner.env).status == 0
    restored = partner.env | {"DEBITURA_DATA_DIR": str(tmp_path / "restored")}
    assert debitura("restore", str(tmp_path / "b.tar"), env=restored).status == 0
    other = Partner(tmp_path, partner.sandbox, DEBITURA_DATA_DIR=str(tmp_path / "restored"))
    assert other.rows("SELECT * FROM ops.registrations ORDER BY 1") == before


def test_commands_say_what_they_did_and_write_no_personal_data(partner: Partner) -> None:
    wanted = rows(2)
    partner.wants(*wanted)
    planned = debitura(
        "clients", "plan", "--json", "--out", str(partner.roster.with_name("plan.json")), env=partner.env
    )
    assert (planned.status, json.loads(planned.out)["summary"]) == (0, {"planned": 2})
    refused = debitura("clients", "apply", env={**partner.env, "DEBITURA_WRITES": "none"})
    assert refused.status == 2 and "DEBITURA_WRITES=clients" in refused.error_line
    applied = debitura("clients", "apply", str(partner.roster.with_name("plan.json")), "-v", env=partner.env)
    assert applied.status == 0 and "2 sent. 2 pending_signature." in applied.out
    status = debitura("clients", "status", "--json", env=partner.env)
    assert json.loads(status.out)["summary"] == {"pending_signature": 2}
    links = debitura("clients", "links", "--tenant", wanted[0]["external_tenant_id"], env=partner.env)
    assert links.out.startswith(f"{wanted[0]['external_tenant_id']}  pending_signature  https://")
    nobody = debitura("clients", "links", "--tenant", "nobody", env=partner.env)
    assert (nobody.status, "neither the roster nor the API has" in nobody.error_line) == (2, True)
    personal = [row[name] for row in wanted for name in ("user_name", "user_email", "support_email", "address")]
    personal += [links.out.split()[-1]]
    assert not find(partner.settings.data_dir, personal)
    assert not [
        text for text in personal[:-1] if any(text in said.out + said.err for said in (planned, applied, status))
    ]


def test_sources_that_are_not_set_or_unreadable_end_with_status_2(partner: Partner) -> None:
    assert debitura("clients", "plan", env=partner.env).status == 2  # the file is not there
    unset = {name: value for name, value in partner.env.items() if name != "DEBITURA_ROSTER"}
    assert "DEBITURA_ROSTER is not set" in debitura("clients", "plan", env=unset).error_line
    assert debitura("clients", "status", env=unset).status == 0


def test_client_sent_before_the_apply_stopped_is_told_as_sent(partner: Partner) -> None:
    """The table and the document said that it was planned, and that nothing was sent."""
    wanted = rows(2)
    partner.wants(*wanted)
    partner.sandbox.faults(
        fault("status", status=502, effect="now", times=1), fault("rate_limited", retry_after=90_000, times=0)
    )
    applied = partner.apply()
    assert applied.stopped is not None
    assert applied.document.summary == {"planned": 1, "sent": 1} and applied.sent == 1
    (message,) = partner.rows("SELECT message FROM ops.registrations WHERE state = 'sent'")[0]
    assert message == "not answered; whether it was registered is unknown"
    partner.sandbox.faults()
    assert partner.apply().document.summary == {"pending_signature": 2}


def test_request_that_the_key_may_not_make_is_not_counted_as_sent(partner: Partner) -> None:
    partner.wants(*rows())
    partner.sandbox.faults(fault("status", status=401, times=0))
    assert partner.apply().sent == 0


def test_client_that_nobody_knows_is_not_registered_again(partner: Partner) -> None:
    partner.wants(*rows())
    with pytest.raises(SettingsError, match="--again names a client"):
        partner.apply(again=["nosuch"])


def test_client_under_two_tenants_stops_nobody(partner: Partner) -> None:
    """Whether the API links one so is not documented."""

    def twice(path: str, document: Any) -> Any:
        if path.startswith("/clients?"):
            (first, *_), paging = document["clients"], document["page"]
            document["clients"].append({**first, "externalTenantId": "its-other-name"})
            for name in ("totalResults", "responseCount"):
                paging[name] += 1
            document["summary"]["totalClients"] += 1
        return document

    wanted = rows()
    partner.wants(*wanted)
    with altering(partner.sandbox, twice) as url:
        partner.endpoint = replace(partner.endpoint, base_url=url)
        assert partner.apply().document.summary == {"pending_signature": 1}


def test_clients_that_are_answered_oddly_hold_up_nobody_in_the_next_run(partner: Partner) -> None:
    """They are in doubt, went first each time, and three of them in a row end an apply."""
    wanted = rows(5)
    odd = {row["external_tenant_id"] for row in wanted[:3]}

    def refuse(path: str, body: bytes | None) -> Instead | None:
        is_odd = path.endswith("/clients") and body is not None and json.loads(body)["externalTenantId"] in odd
        return Instead(422, b'{"message": "Phone number not valid"}') if is_odd else None

    partner.wants(*wanted)
    with altering(partner.sandbox, lambda _, document: document, refuse) as url:
        partner.endpoint = replace(partner.endpoint, base_url=url)
        first = partner.apply()
        assert first.document.summary == {"planned": 2, "sent": 3}
        assert "no documented error: check the row" in first.document.rows[0].reasons[0]
        partner.apply()
    assert {tenant for tenant, state in partner.states().items() if state == "pending_signature"} >= set(
        tenants(wanted[3:])
    )
