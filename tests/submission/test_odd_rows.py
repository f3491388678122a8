"""Rows that break a rule, while their claim is in doubt or beside good ones: nothing is forgotten, and nobody is held up."""

from __future__ import annotations

from pathlib import Path

import pytest

from debitura_pipeline.errors import RefusedError
from debitura_pipeline.submission import claims_status
from tests.source.rows import as_csv, put
from tests.submission.histories import signed_tenant
from tests.submission.partner import Claims, claim, fault, new_number


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
