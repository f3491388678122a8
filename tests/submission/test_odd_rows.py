"""Rows that break a rule, while their claim is in doubt or beside good ones: nothing is forgotten, and nobody is held up."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from debitura_pipeline.errors import RefusedError
from debitura_pipeline.registration.listed import ListedClient
from debitura_pipeline.source import read_claims
from debitura_pipeline.submission import claims_status
from debitura_pipeline.submission.gather import under_two_tenants
from tests.source.rows import as_csv, claim_row, put, settings_for
from tests.submission.histories import signed_tenant
from tests.submission.partner import Claims, claim, claims, fault, new_number


@pytest.mark.parametrize("now", ["invalid", "repeated", "gone"])
def test_claim_in_doubt_is_looked_up_whatever_became_of_its_row(partner: Claims, now: str) -> None:
    wanted, other = (claim(signed_tenant(partner.sandbox), new_number()) for _ in range(2))
    partner.sandbox.undocumented(lookup_delay_s=600)
    partner.wants(wanted, other)
    partner.sandbox.faults(fault("close", effect="now", body=wanted["creditor_reference"]))
    partner.apply()
    assert partner.states()[wanted["creditor_reference"]] == "sent"
    partner.wants(*{"invalid": [{**wanted, "amount": "abc"}], "repeated": [wanted, wanted], "gone": []}[now], other)
    partner.later(minutes=16)
    planned = [one for one in partner.plan().claims if one.is_due]
    assert not [one for one in planned if one.wanted is not None], "nothing is sent without a good row"
    partner.apply()
    assert partner.states()[wanted["creditor_reference"]] == "submitted"
    assert partner.cases(wanted["creditor_reference"]) == 1


def test_claims_of_unknown_clients_with_one_reference_are_told_apart(partner: Claims) -> None:
    rows = [claim(f"nobody-{name}", 1, creditor_reference="1001") for name in "abc"]
    rows[1]["amount"] = "x"
    partner.wants(*rows)
    shown = [(row.external_tenant_id, row.state) for row in partner.apply().document.rows]
    assert shown == [("nobody-a", "waiting_for_client"), ("nobody-b", "invalid"), ("nobody-c", "waiting_for_client")]


@pytest.mark.usefixtures("warehouse_env")
@pytest.mark.parametrize("odd", ["\udce9", "\0", "\ud800"])
def test_reference_that_no_warehouse_can_hold_is_one_invalid_row(partner: Claims, odd: str, tmp_path: Path) -> None:
    tenant = signed_tenant(partner.sandbox)
    good = claim(tenant, new_number())
    bad = {**good, "creditor_reference": f"l{odd}"}
    put(partner.source, as_csv([bad, good]).encode("utf-8", "surrogatepass").replace(b"\xed\xb3\xa9", b"\xe9"))
    partner.plan().document.keep(tmp_path / "plan.json")
    assert partner.apply().document.summary == {"invalid": 1, "submitted": 1}
    assert partner.apply().document.summary == {"invalid": 1, "submitted": 1}
    assert claims_status(partner.settings, partner.now()).summary == {"invalid": 1, "submitted": 1}
    (invalid,) = [row for row in partner.plan().document.rows if row.state == "invalid"]
    (invalid.creditor_reference or "").encode()


def test_refused_key_ends_an_apply_instead_of_waiting_for_clients(partner: Claims) -> None:
    wanted = claim(signed_tenant(partner.sandbox), new_number())
    partner.wants(wanted)
    partner.sandbox.faults({"kind": "status", "status": 401, "path": "/oauth/token", "times": 0})
    with pytest.raises(RefusedError, match="HTTP 401"):
        partner.apply()
    partner.sandbox.faults()
    assert partner.apply().document.summary == {"submitted": 1}


def test_refused_claim_whose_row_was_broken_for_a_while_is_not_sent_again(partner: Claims, tenant: str) -> None:
    """What makes a row invalid and valid again is no change of what was refused."""
    (wanted,) = claims(tenant)
    partner.wants(wanted)
    partner.sandbox.faults(fault("status", status=422, effect="none"))
    assert partner.apply().document.summary == {"refused": 1}
    partner.sandbox.faults()
    for row in ({**wanted, "amount": "nothing"}, wanted):
        partner.wants(row)
        assert partner.apply().document.summary == {"refused": 1}
    assert len(partner.posts()) == 1


def test_rows_that_name_a_client_by_two_tenant_ids_with_one_reference_are_invalid(tmp_path: Path) -> None:
    """Each was sent, and the second one's record replaced the first one's."""
    rows = [claim_row(1), claim_row(1), claim_row(2), claim_row(3)]
    for row, tenant in zip(rows, ("one", "another", "one", "unlinked"), strict=True):
        row["external_tenant_id"] = tenant
    put(tmp_path / "claims.csv", as_csv(rows))
    settings = settings_for(tmp_path, DEBITURA_CLAIMS=tmp_path / "claims.csv")
    listed = {
        tenant: ListedClient(tenant, "6d5c1f9e-0000-4000-8000-000000000001", True) for tenant in ("one", "another")
    }
    found = under_two_tenants(read_claims(settings, date(2026, 1, 2), is_noted=False), listed)
    assert sorted(found) == [1, 2]
    assert all(row.row is None and "another tenant id" in row.located_reasons()[-1] for row in found.values())


def test_claims_of_a_tenant_id_that_is_listed_for_two_clients_wait(partner: Claims) -> None:
    """The last one listed was taken: after the other order, the same row was sent for the other client."""
    clients = partner.sandbox.get("/clients", {"PageSize": 100})["clients"]
    ids = {one["client"]["id"]: number for number, one in enumerate(partner.sandbox.truth("clients"))}
    first, second = (one for one in clients if one["onboardingDone"]), clients[-1]
    tenant = next(first)["externalTenantId"]
    partner.wants(*claims(tenant))
    assert partner.apply().document.summary == {"submitted": 1}
    change = {
        "op": "row",
        "resource": "clients",
        "action": "set",
        "row": ids[second["client"]["id"]],
        "column": "tenant",
    }
    partner.sandbox.admin("change", {**change, "value": tenant})
    try:
        partner.wants(*claims(tenant, 2))
        applied = partner.apply()
        assert applied.document.summary == {"waiting_for_client": 2}
        assert applied.document.rows[0].reasons == ("the API lists more than one client with this tenant id",)
    finally:
        partner.sandbox.admin("change", {**change, "value": second["externalTenantId"]})
    assert partner.apply().document.summary == {"submitted": 2}
