"""Answers that say something else than they should: no claim is lost to one, and none holds up the others."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from debitura_pipeline.api.error_body import parse_error_body
from debitura_pipeline.api.writes import WriteResponse
from debitura_pipeline.errors import SettingsError, ShapeError
from debitura_pipeline.submission.answers import Created, NoAnswer, Refusal, answered
from debitura_pipeline.submission.apply import understood
from debitura_pipeline.submission.attention import read_claims_attention
from debitura_pipeline.submission.decision import Evidence, Stop, next_step
from debitura_pipeline.submission.lookups import Expected, found_case
from debitura_pipeline.submission.states import NO_ROW, Record
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.submission.histories import signed_tenant
from tests.submission.partner import Claims, claim, fault, new_number
from tests.support.altering import Instead, altering

CASE_ID, EXPECTED = str(uuid.UUID(int=7)), Expected("A-1")
NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
GATEWAYS: list[Any] = [
    None,
    {},
    [],
    "Bad Request",
    0,
    {"message": "Bad Request"},
    {"id": CASE_ID},
    {"error": {"code": "BadRequest", "message": "x"}},
    {"success": False, "errors": [{"code": 1}], "messages": [], "result": None},
    {"code": 400, "message": "x"},
    {"message": "x", "details": []},
    {"id": "x", "warnings": []},
    {"error": None},
]


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"id": CASE_ID, "creditorReference": "A-1"}, Created),
        ({"id": CASE_ID, "creditorReference": "A-1", "type": "Company"}, Created),
        ({"id": CASE_ID}, NoAnswer),
        ({"id": CASE_ID, "type": "ValidationError", "message": "queued for review"}, NoAnswer),
        ({"id": "7", "creditorReference": "A-1"}, NoAnswer),
        ([], NoAnswer),
    ],
)
def test_only_an_answer_that_names_the_claim_says_that_it_is_submitted(document: Any, kind: type) -> None:
    assert isinstance(understood(WriteResponse(201, document), EXPECTED), kind)


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("document", GATEWAYS)
def test_answer_that_is_no_documented_error_refuses_nothing(status: int, document: Any) -> None:
    """An intermediary may have answered after the case was created: the claim stays in doubt, and its key is not used up."""
    answer = understood(WriteResponse(status, document), EXPECTED)
    assert isinstance(answer, NoAnswer)
    sent = Record("t", "A-1", "c", state="sent", unanswered=1, intent_at=NOW, last_attempt_at=NOW)
    after = answered(sent, answer, NOW)
    assert after.is_in_doubt and not after.was_refused
    step = next_step(after, None, Evidence(NOW + timedelta(hours=13)), NOW + timedelta(hours=13))
    assert isinstance(step, Stop), "nor a quarter of an hour later"


@pytest.mark.parametrize(
    "document",
    [
        {"BusinessErrors": [{"type": "ValidationError", "message": "no"}]},
        {"businessRule": "no"},
        {"debtor.name": ["is required"]},
        {"Title": "One or more validation errors occurred.", "status": 400},
    ],
)
def test_documented_error_is_a_refusal(document: Any) -> None:
    assert isinstance(understood(WriteResponse(422, document), EXPECTED), Refusal)


def test_lookup_is_not_answered_by_an_error_with_an_id() -> None:
    with pytest.raises(ShapeError):
        found_case({"id": CASE_ID, "title": "Something went wrong", "traceId": "1"}, EXPECTED)
    assert found_case({"id": CASE_ID}, EXPECTED).case_id == CASE_ID


@pytest.mark.parametrize(
    ("shown", "kept"),
    [
        ("K7TR-0001/a", "K7TR-0001/a"),
        ("\ud800", None),
        ("Karla <karla@firma.example>", None),
        ("x" * 65, None),
        (7, None),
    ],
)
def test_only_a_plain_reference_is_kept(shown: Any, kept: str | None) -> None:
    assert found_case({"id": CASE_ID, "reference": shown}, EXPECTED).reference == kept


@pytest.mark.usefixtures("warehouse_env")
@pytest.mark.parametrize("what", ["reference", "creditorReference"])
def test_odd_answer_holds_up_nobody(partner: Claims, what: str) -> None:
    """The first claim's case has a reference that nothing can store, or its creation is answered with no more than an id."""
    first, second = (claim(signed_tenant(partner.sandbox), new_number()) for _ in range(2))

    altered = []

    def alter(path: str, document: Any) -> Any:
        before = dict(document)
        if what == "reference" and document.get("creditorReference") == first["creditor_reference"]:
            document["reference"] = "\ud800"
        if what == "creditorReference" and path.endswith("/cases") and "id" in document:
            del document["creditorReference"]
        altered.append(document != before)
        return document

    partner.wants(first, second)
    with altering(partner.sandbox, alter) as url:
        customer_url = url + urlsplit(partner.sandbox.customer_url).path
        partner.env |= {"DEBITURA_CUSTOMER_API_URL": customer_url}
        partner.endpoint = replace(partner.endpoint, customer_url=customer_url)
        assert partner.apply().document.summary == {"submitted": 2}
    assert any(altered)
    assert [partner.cases(one["creditor_reference"]) for one in (first, second)] == [1, 1]


def test_api_that_only_asks_to_wait_ends_the_apply(partner: Claims) -> None:
    """Claim by claim, that took four minutes each, and nothing else could run."""
    partner.wants(*(claim(signed_tenant(partner.sandbox), new_number()) for _ in range(5)))
    partner.sandbox.faults(fault("rate_limited", retry_after=0.01, times=0))
    applied = partner.apply()
    assert applied.stopped is not None and "HTTP 429 to 4 requests in a row" in applied.stopped
    assert len(partner.posts()) == 4 and applied.document.summary == {"planned": 5}
    partner.sandbox.faults()
    assert partner.apply().document.summary == {"submitted": 5}


@pytest.mark.usefixtures("warehouse_env")
def test_refused_claim_whose_row_is_gone_is_nobodys_problem_until_it_is_back(partner: Claims) -> None:
    refused, other = (claim(signed_tenant(partner.sandbox), new_number()) for _ in range(2))
    partner.sandbox.faults(fault("status", status=422, body=refused["creditor_reference"], times=0))
    waiting = claim("nobody", new_number())
    partner.wants(refused, waiting, other)
    partner.apply()
    partner.wants(other)
    assert partner.apply().document.summary == {"submitted": 1}
    kept = partner.records()
    assert kept[refused["creditor_reference"]].message == NO_ROW == kept[waiting["creditor_reference"]].message
    found = read_claims_attention(partner.settings, wait_s=1)
    assert (found["problems"], found["claims"]) == ([], {"submitted": 1})
    partner.wants(refused, other)
    assert partner.apply().document.summary == {"refused": 1, "submitted": 1}, "its key is used up"
    assert len(partner.keys()[refused["creditor_reference"]]) == 1
    assert "refused by Debitura" in read_claims_attention(partner.settings, wait_s=1)["problems"][0]


def test_record_of_a_tenant_that_was_not_linked_stays_its_rows(partner: Claims) -> None:
    """Also where the row is another client's by now: there was a second record, which said that the row was gone."""
    tenant, reference = signed_tenant(partner.sandbox), f"same-{new_number()}"
    ours, theirs = (claim(name, 1, creditor_reference=reference) for name in (tenant, "nobody"))
    partner.wants(theirs)
    partner.apply()
    with open_warehouse(partner.settings) as warehouse:
        warehouse.execute("UPDATE ops.submissions SET external_tenant_id = $1", (tenant,))  # it was not linked then
    partner.wants({**ours, "amount": "x"})
    partner.apply()
    assert [(one.state, one.message) for one in partner.all_records()] == [("invalid", None)]
    partner.wants(ours, theirs)
    partner.apply()
    partner.wants(ours)
    partner.apply()
    assert {(one.external_tenant_id, one.state, one.is_wanted) for one in partner.all_records()} == {
        (tenant, "submitted", True), ("nobody", "waiting_for_client", False),
    }  # fmt: skip


def test_plan_replaces_no_file_that_is_none(partner: Claims, tmp_path: Path) -> None:
    partner.wants(claim(signed_tenant(partner.sandbox), new_number()))
    before = partner.source.read_bytes()
    with pytest.raises(SettingsError, match="is not a plan, so it is kept"):
        partner.plan().document.keep(partner.source)
    assert partner.source.read_bytes() == before
    for _ in range(2):
        partner.plan().document.keep(tmp_path / "plan.json")


@pytest.mark.parametrize(
    "body",
    [
        b'{"businessErrors": [{"type": "DUPLICATE_REFERENCE"}]}',
        b'{"Error": "duplicate-reference"}',
        b'{"type": "https://api.example/errors/duplicate-reference", "title": "Taken", "status": 422}',
    ],
)
def test_duplicate_is_known_however_it_is_spelled(body: bytes) -> None:
    """It was final as any other refusal, and the case that has the reference was never looked for."""
    codes, fields = parse_error_body(body)
    answer = understood(WriteResponse(422, json.loads(body), tuple(codes), tuple(fields)), EXPECTED)
    assert isinstance(answer, Refusal) and answer.names_a_case


def test_type_that_is_no_word_of_an_error_is_not_kept() -> None:
    for told in ("https://tools.ietf.org/html/rfc9110#section-15.5.1", "https://api.example/people/ingrid-vandermolen"):
        assert parse_error_body(f'{{"type": "{told}"}}'.encode()) == ([], [])


@pytest.mark.parametrize(
    "body", [b"<html>Bad Request</html>", b"", b'{"error": {"code": "BadRequest"}}', b'{"message": "blocked"}']
)
def test_claim_that_a_gateway_refused_after_its_effect_stays_in_doubt_until_its_case_is_shown(
    partner: Claims, body: bytes
) -> None:
    """A quarter of an hour later it was refused for good, and another spelling of its reference was sent."""
    tenant = signed_tenant(partner.sandbox)
    wanted = claim(tenant, new_number(), creditor_reference=f"Inv-{new_number()}")
    respelled = {**wanted, "creditor_reference": wanted["creditor_reference"].upper()}
    partner.sandbox.undocumented(lookup_delay_s=5 * 3_600.0, refuses_duplicates=False)
    partner.wants(wanted)

    def refuse(path: str, document: Any) -> Any:
        return Instead(400, body) if path.endswith("/cases") and "creditorReference" in document else document

    direct = partner.endpoint
    with altering(partner.sandbox, refuse) as url:
        customer_url = url + urlsplit(partner.sandbox.customer_url).path
        partner.endpoint = replace(direct, customer_url=customer_url)
        assert partner.apply().document.summary == {"sent": 1}
    partner.endpoint = direct
    partner.wants(respelled)
    for hours in (0.3, 2.0):
        partner.later(hours=hours)
        assert partner.apply().document.summary == {"planned": 1, "sent": 1}
    assert len(partner.posts()) == 1
    partner.wants(wanted)
    partner.later(hours=4)
    assert partner.apply().document.summary == {"submitted": 1}
    assert (partner.cases(wanted["creditor_reference"]), len(set(partner.keys()[wanted["creditor_reference"]]))) == (
        1,
        1,
    )


def test_refusal_after_an_unanswered_request_is_looked_up_for_twelve_hours(partner: Claims) -> None:
    """The API may have refused it for the case that the unanswered request created."""
    wanted = claim(signed_tenant(partner.sandbox), new_number(), creditor_reference=f"Inv-{new_number()}")
    partner.sandbox.undocumented(lookup_delay_s=5 * 3_600.0, key_life_s=0)
    partner.wants(wanted)
    partner.sandbox.faults(fault("status", status=504, effect="now"), fault("status", status=422, effect="none"))
    for _ in range(3):
        assert partner.apply().document.summary == {"sent": 1}
        partner.later(minutes=16)
    assert len(partner.posts()) == 2
    respelled = {**wanted, "creditor_reference": wanted["creditor_reference"].upper()}
    partner.wants(respelled)
    assert partner.apply().document.summary == {"planned": 1, "sent": 1}
    partner.wants(wanted)
    partner.later(hours=6)
    assert partner.apply().document.summary == {"submitted": 1}
    assert (partner.cases(wanted["creditor_reference"]), len(partner.posts())) == (1, 2)


def test_preview_that_a_gateway_refuses_says_nothing_of_the_row(partner: Claims) -> None:
    partner.wants(claim(signed_tenant(partner.sandbox), new_number()))
    with altering(
        partner.sandbox,
        lambda path, document: Instead(400, b"<html>no</html>") if path.endswith("/preview") else document,
    ) as url:
        direct, customer_url = partner.endpoint, url + urlsplit(partner.sandbox.customer_url).path
        partner.endpoint = replace(direct, customer_url=customer_url)
        applied = partner.apply()
    assert applied.document.summary == {"planned": 1}
    assert "could not be looked up or previewed" in applied.document.rows[0].reasons[0]
    partner.endpoint = direct
    assert partner.apply().document.summary == {"submitted": 1}


def through(partner: Claims, url: str) -> None:
    """Send this partner's requests through a gateway."""
    customer_url = url + urlsplit(partner.sandbox.customer_url).path
    partner.endpoint = replace(partner.endpoint, base_url=url, customer_url=customer_url)


def as_it_is(_: str, document: Any) -> Any:
    return document


NO_ROUTE = [b'{"message": "no Route matched with those values"}', b""]


@pytest.mark.parametrize("body", NO_ROUTE)
def test_404_that_may_be_a_gateways_does_not_say_that_there_is_no_case(
    partner: Claims, tmp_path: Path, body: bytes
) -> None:
    """A reference of digits was looked up in one place only, and its claim sent although there was a case."""
    tenant = signed_tenant(partner.sandbox)
    there, new = (claim(tenant, new_number(), creditor_reference=str(new_number())) for _ in range(2))
    partner.sandbox.undocumented(key_life_s=0, refuses_duplicates=False)
    partner.wants(there)
    partner.apply()
    elsewhere = Claims(tmp_path / "elsewhere", partner.sandbox)
    elsewhere.wants(there, new)

    def no_route(path: str, _: bytes | None) -> Instead | None:
        return Instead(404, body) if "by-creditor-reference" in path else None

    with altering(partner.sandbox, as_it_is, no_route) as url:
        through(elsewhere, url)
        assert elsewhere.apply().document.summary == {"already_there": 1, "submitted": 1}
    assert [partner.cases(one["creditor_reference"]) for one in (there, new)] == [1, 1]


@pytest.mark.parametrize("body", NO_ROUTE)
def test_404_that_may_be_a_gateways_does_not_say_that_a_case_was_deleted(
    partner: Claims, tmp_path: Path, body: bytes
) -> None:
    tenant = signed_tenant(partner.sandbox)
    there = claim(tenant, new_number(), creditor_reference=str(new_number()))
    partner.sandbox.undocumented(key_life_s=0, refuses_duplicates=False)
    partner.wants(there)
    partner.apply()
    case_id = partner.records()[there["creditor_reference"]].case_id
    elsewhere = Claims(tmp_path / "elsewhere", partner.sandbox)
    elsewhere.sync("cases")
    elsewhere.wants(there)

    def no_route(path: str, _: bytes | None) -> Instead | None:
        if "by-creditor-reference" in path:
            return Instead(404, b'{"error": "NotFound"}')
        return Instead(404, body) if path.endswith(f"/cases/{case_id}") else None

    with altering(partner.sandbox, as_it_is, no_route) as url:
        through(elsewhere, url)
        assert elsewhere.apply().document.summary == {"planned": 1}, "its lookup was not answered"
    elsewhere.endpoint = partner.endpoint
    assert elsewhere.apply().document.summary == {"already_there": 1}
    assert partner.cases(there["creditor_reference"]) == 1


def test_page_with_401_does_not_say_that_the_request_had_no_effect(partner: Claims) -> None:
    """It was repeated at once with a new token, while the case that it had created was not shown yet."""
    wanted = claim(signed_tenant(partner.sandbox), new_number())
    partner.sandbox.undocumented(key_life_s=0, lookup_delay_s=60.0, refuses_duplicates=False)
    partner.wants(wanted)

    def login(path: str, document: Any) -> Any:
        return Instead(401, b"<html>login</html>") if path.endswith("/cases") and "id" in document else document

    direct = partner.endpoint
    with altering(partner.sandbox, login) as url:
        through(partner, url)
        assert partner.apply().document.summary == {"sent": 1}
    partner.endpoint = direct
    partner.later(minutes=16)
    assert partner.apply().document.summary == {"submitted": 1}
    assert partner.cases(wanted["creditor_reference"]) == 1 and len(partner.posts()) == 1
