"""Drive a Customer API with the vendor's own client, and print what came back as one JSON object.

Runs in `.venv-vendor`, where nothing of this project is installed. Arguments: base URL, token.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from debitura_debt_collection import (
    ApiClient,
    ApiException,
    CasesApi,
    Configuration,
    ContractsApi,
    MeApi,
    TestCasesApi,
)
from debitura_debt_collection import models as vendor

CaseRequest = vendor.DebituraWebExternalApiContractsV1CasesRequestsCreateCollectionCaseRequestApiViewModel
PreviewRequest = vendor.DebituraWebExternalApiContractsV1CasesRequestsPreviewCaseRequestApiViewModel
AdvanceRequest = vendor.DebituraWebExternalApiContractsV1CasesRequestsAdvanceTestCaseRequest
DEBTOR = {"type": "Company", "name": "Schröder GmbH", "contactPerson": "Käthe Großmann", "countryAlpha2": "DE"}
CLAIM = {
    "currencyCode": "EUR", "date": "2025-10-01T00:00:00Z", "dueDate": "2025-11-01T00:00:00Z", "amountToRecover": 812.5,
    "creditorReference": "V/1 ü", "debtor": DEBTOR, "amountToRecoverOver12Months": 400, "amountToRecoverOver24Months": 100,
}  # fmt: skip


def main(url: str, token: str) -> dict[str, Any]:
    client = ApiClient(Configuration(host=url, access_token=token))
    client.set_default_header("Authorization", f"Bearer {token}")
    cases = CasesApi(client)
    return {
        "me": MeApi(client).me_get().to_dict(),
        "agreement": ContractsApi(client).contracts_debt_collection_status_get().to_dict(),
        **listings(cases),
        **submitting(cases),
        **testing(cases, TestCasesApi(client)),
    }


def listings(cases: CasesApi) -> dict[str, Any]:
    """Pages, sorts, states, and every lookup of the first case."""
    pages = [cases.cases_get(page=number, page_size=7, sort="GrossAmount:asc,DateCreated:desc") for number in (1, 2, 3)]
    active = cases.cases_get(page_size=100, statuses=["Active", "closed"])
    first = next(case for case in pages[0].cases if case.creditor_reference)
    return {
        "pages": [page.page.to_dict() for page in pages],
        "sorted": [case.to_dict() for page in pages for case in page.cases],
        "states": sorted({case.lifecycle for case in active.cases}),
        "some": [case.id for case in cases.cases_get(ids=[first.id]).cases],
        "looked_up": [
            case.to_dict()
            for case in (
                first,
                cases.cases_id_get(first.id),
                cases.cases_case_reference_case_reference_get(first.reference),
                cases.cases_by_creditor_reference_creditor_reference_get(first.creditor_reference),
            )
        ],
        "contract": cases.cases_id_contract_status_get(first.id).to_dict(),
        "missing": status(lambda: cases.cases_by_creditor_reference_creditor_reference_get("nothing/like it")),
        "too_many": status(lambda: cases.cases_get(page_size=101)),
    }


def submitting(cases: CasesApi) -> dict[str, Any]:
    """A preview, a case with a key and again, one without, and refusals."""
    preview = {"amountToRecover": 812.5, "currencyCode": "EUR", "debtor": {"type": "Company", "countryAlpha2": "DE"}}
    request = CaseRequest.from_dict(CLAIM)
    other = CaseRequest.from_dict({**CLAIM, "creditorReference": "V/2"})
    made = cases.cases_post("key-1", request)
    return {
        "preview": cases.cases_preview_post(PreviewRequest.from_dict(preview)).to_dict(),
        "made": made.to_dict(),
        "again": cases.cases_post("key-1", request).id,
        "without_key": cases.cases_post(None, other).to_dict(),
        "found": cases.cases_by_creditor_reference_creditor_reference_get("V/1 ü").id,
        "conflict": status(lambda: cases.cases_post("key-1", other)),
        "duplicate": status(lambda: cases.cases_post("key-2", request)),
        "invalid": status(lambda: cases.cases_post(None, CaseRequest.from_dict({**CLAIM, "amountToRecover": 0}))),
    }


def testing(cases: CasesApi, test_cases: TestCasesApi) -> dict[str, Any]:
    """A test case from beginning to end."""
    request = CaseRequest.from_dict({**CLAIM, "creditorReference": "T-1", "isTest": True, "tag": "suite"})
    made = cases.cases_post(None, request)
    advanced = test_cases.test_cases_id_advance_post(made.id, AdvanceRequest(to="Closed:Paid", amount=812.5))
    closed = cases.cases_id_get(made.id)
    test_cases.test_cases_delete(tag="suite")
    return {
        "advanced": advanced.to_dict(),
        "closed": [closed.lifecycle, closed.close_code, closed.is_test_case],
        "deleted": status(lambda: cases.cases_id_get(made.id)),
    }


def status(call) -> list[Any]:
    """HTTP status and error types of a call that fails."""
    try:
        call()
    except ApiException as fault:
        try:
            body = json.loads(fault.body)
        except ValueError:
            body = {}
        return [fault.status, *(error["type"] for error in body.get("businessErrors") or [])]
    return [200]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:]), default=str))
