"""Answers against shapes: the project's own, and the published description where it is at hand."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl

import jsonschema
import pytest

from tests.sandbox.claims import CLAIM as CLAIM_TO_SUBMIT
from tests.sandbox.claims import Client
from tests.sandbox.local import LocalSandbox, exact
from tests.sandbox.shapes import CASE, LISTINGS, misfits

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "contract"
REFERRAL, CUSTOMER = "referral-partner-api.openapi.json", "customer-api.openapi.json"
published = pytest.mark.skipif(
    not (PUBLISHED / CUSTOMER).exists(), reason="the published API description is not beside this checkout"
)
REGISTER = {
    "externalTenantId": "brand-new",
    "client": {"name": "New ApS", "country": "Denmark", "supportEmail": "hello@new.example"},
    "users": [{"name": "Nanna Ny", "email": "nanna@new.example"}],
}
CLAIM = {"amountToRecover": 1, "currencyCode": "EUR", "debtor": {"type": "Company", "countryAlpha2": "DE"}}
CALLS = [
    ("GET", "/cases?PageSize=100", None, 200),
    ("GET", "/cases?PageSize=100&Sort=DateCreated:asc&Page=3", None, 200),
    ("GET", "/cases?PageSize=0", None, 400),
    ("GET", "/cases/{id}", None, 200),
    ("GET", "/cases/{none}", None, 404),
    ("GET", "/clients?PageSize=100", None, 200),
    ("GET", "/clients?PageSize=999", None, 400),
    ("GET", "/clients/{externalTenantId}", None, 200),
    ("GET", "/clients/{nobody}", None, 404),
    ("GET", "/clients/{externalTenantId}/is-deletable", None, 200),
    ("POST", "/clients", REGISTER, 202),
    ("POST", "/clients/{nobody}/withdraw", None, 404),
    ("GET", "/reporting/transactions?PageSize=100", None, 200),
    ("GET", "/me", None, 200),
    ("GET", "/referral-partner/filter-options", None, 200),
    ("GET", "/coverage", None, 200),
    ("POST", "/oauth/token", {"externalTenantId": "{externalTenantId}"}, 200),
    ("POST", "/oauth/token", {}, 400),
    ("POST", "/oauth/token", {"externalTenantId": "nobody"}, 404),
    ("GET", "/v1/Webhooks", None, 200),
    ("POST", "/v1/Webhooks", {"url": "https://hooks.example/in", "events": ["case.created"]}, 200),
    ("POST", "/v1/Webhooks", {"url": "http://hooks.example/in", "events": ["case.created"]}, 400),
    ("POST", "/v1/Webhooks/test", {"eventType": "client.linked", "externalTenantId": "{externalTenantId}"}, 200),
    ("POST", "/cases/preview", CLAIM, 200),
]  # fmt: skip


TEST_CLAIM = CLAIM_TO_SUBMIT | {"isTest": True, "tag": "t", "creditorReference": "T-1"}
CUSTOMER_CALLS = [
    ("GET", "/me", None, 200),
    ("GET", "/cases?PageSize=100", None, 200),
    ("GET", "/cases?Page=0", None, 400),
    ("GET", "/cases/{id}", None, 200),
    ("GET", "/cases/{none}", None, 404),
    ("GET", "/cases/{id}/contract-status", None, 200),
    ("GET", "/contracts/debt-collection/status", None, 200),
    ("POST", "/cases/preview", CLAIM, 200),
    ("POST", "/cases/preview", CLAIM | {"debtor": {"type": "Company", "countryAlpha2": "ZW"}}, 200),
    ("POST", "/cases", CLAIM_TO_SUBMIT, 200),
    ("POST", "/cases", CLAIM_TO_SUBMIT | {"creditorReference": "twice"}, 422),
    ("POST", "/cases", CLAIM_TO_SUBMIT | {"debtor": CLAIM_TO_SUBMIT["debtor"] | {"countryAlpha2": "ZW"}}, 422),
    ("POST", "/cases", TEST_CLAIM, 200),
]  # fmt: skip


def nullable_schema(node):
    """The published schema in the words of JSON Schema: `nullable` becomes a type; a reference may be null, since the
    source never says and reviews that were not done are sent as null."""
    if isinstance(node, list):
        return [nullable_schema(each) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return {"anyOf": [{"type": "null"}, {"$ref": node["$ref"]}]}
    made = {name: nullable_schema(value) for name, value in node.items()}
    if "x-wire-values-per-description" in node:
        made["enum"] = node["enum"] + node["x-wire-values-per-description"]
    if node.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    return made


@pytest.fixture(scope="module")
def sandbox():
    local = LocalSandbox(clients=30, cases=1_200, transactions=1_500)
    local.app.change({"op": "advance", "days": 3})
    return local


@published
@pytest.mark.parametrize(("method", "target", "body", "status"), CALLS)
def test_answers_have_the_published_shapes(sandbox, method, target, body, status):
    case = sandbox.get("/cases", PageSize=1)["cases"][0]
    signed = sandbox.get("/clients", OnboardingDone="true")["clients"][0]["externalTenantId"]
    known = {
        "{id}": case["id"],
        "{none}": "00000000-0000-4000-8000-000000000000",
        "{nobody}": "nobody",
        "{externalTenantId}": signed,
    }
    path, _, query = target.partition("?")
    template = path.replace("{none}", "{id}").replace("{nobody}", "{externalTenantId}")
    for placeholder, value in known.items():
        path = path.replace(placeholder, value)
        body = json.loads(json.dumps(body).replace(placeholder, value)) if body else body
    response = sandbox.call(method, path, body, params=parse_qsl(query))
    assert response.status == status, response.body
    assert departures(REFERRAL, template, method, response) == []


def departures(description, template, method, response):
    """Where an answer departs from its published schema; nothing to compare with if it has no content."""
    operation, parts = published_parts(description)
    content = operation["paths"][template][method.lower()]["responses"][str(response.status)].get("content")
    if content is None:
        return []
    schema = nullable_schema(next(iter(content.values()))["schema"])
    validator = jsonschema.Draft202012Validator({**schema, "components": {"schemas": parts}})
    return [error.message for error in validator.iter_errors(json.loads(response.body))][:3]


@cache
def published_parts(name):
    description = json.loads((PUBLISHED / name).read_text())
    return description, {name: nullable_schema(value) for name, value in description["components"]["schemas"].items()}


@published
@pytest.mark.parametrize(("method", "target", "body", "status"), CUSTOMER_CALLS)
def test_answers_of_the_customer_api_have_the_published_shapes(sandbox, method, target, body, status):
    client = Client(sandbox)
    client.submit(creditorReference="twice")
    sandbox.app.set_undocumented(sandbox.app.undocumented.changed({"field_errors": "structured"}))
    path, _, query = target.partition("?")
    template = path.replace("{none}", "{id}")
    case = client.get("/cases", PageSize=1)["cases"][0]["id"]
    path = path.replace("{id}", case).replace("{none}", "00000000-0000-4000-8000-000000000000")
    response = client.call(method, path, body, **dict(parse_qsl(query)))
    assert response.status == status, response.body
    assert departures(CUSTOMER, template, method, response) == []


@published
def test_every_case_of_the_world_has_the_published_shape(sandbox):
    client = Client(sandbox)
    for name in ("by-creditor-reference/{creditorReference}", "case-reference/{caseReference}"):
        assert f"/cases/{name}" in published_parts(CUSTOMER)[0]["paths"]
    pages = client.get("/cases", PageSize=100)["page"]["totalPages"]
    for page in range(1, pages + 1):
        response = client.call("GET", "/cases", PageSize=100, Page=page)
        assert departures(CUSTOMER, "/cases", "GET", response) == []


@pytest.mark.parametrize("path", LISTINGS)
def test_listings_have_the_shapes_that_the_project_relies_on(sandbox, path):
    for page in (1, 2):
        assert misfits(sandbox.get(path, PageSize=100, Page=page), LISTINGS[path]) == []


def test_single_case_is_the_listed_one_with_an_estimate(sandbox):
    for case in sandbox.get("/cases", PageSize=50)["cases"]:
        single = sandbox.get(f"/cases/{case['id']}")
        potential = single.pop("potentialRevenue")
        assert single == case
        assert misfits(single, CASE) == []
        assert (potential is None) == (case["collectionPartner"] is None)


def test_wire_holds_what_parsers_stumble_over(sandbox):
    """Null fields, zero fees, naive and fractional instants, equal instants, letters beyond ASCII, escapes."""
    cases, payments = sandbox.rows("/cases"), sandbox.rows("/reporting/transactions")
    raw = sandbox.call("GET", "/cases", params=[("PageSize", 100)]).body
    created = [row["dateCreated"] for row in cases]
    assert any(not text.endswith(("Z", "+00:00")) for text in created)
    assert any("." in text for text in created)
    assert len(set(created)) < len(created)
    assert any(row["debtor"]["name"] is None for row in cases)
    assert any(row["creditorReference"] is None for row in cases)
    assert any(row["earnings"]["referralFeeAmount"] == 0 for row in payments)
    assert any(row["status"]["referralInvoicingStatus"] is None for row in payments)
    assert len({row["currency"] for row in cases}) > 4
    assert b"\\u00" in raw
    assert any(byte > 127 for byte in raw)
    assert exact(raw)
