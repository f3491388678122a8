"""A client's view of the Customer API of a sandbox without a server, and claims to submit."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from debitura_sandbox.api.http import Response
from tests.sandbox.local import LocalSandbox, exact

CLAIM: dict[str, Any] = {
    "creditorReference": "INV 2026/01 ä", "amountToRecover": 1250.55, "currencyCode": "EUR", "date": "2025-10-01",
    "dueDate": "2025-11-01", "debtor": {"type": "Private", "name": "Zita Zobel", "countryAlpha2": "DE"},
}  # fmt: skip


class Client:
    """One client's token, used for every call."""

    def __init__(self, sandbox: LocalSandbox, tenant: str | None = None) -> None:
        self.sandbox = sandbox
        signed = sandbox.get("/clients", OnboardingDone="true")["clients"]
        self.tenant: str = tenant or max(signed, key=lambda row: row["caseStats"]["casesTotal"])["externalTenantId"]
        answer = exact(sandbox.call("POST", "/oauth/token", {"externalTenantId": self.tenant}).body)
        self.headers = {"authorization": f"Bearer {answer['accessToken']}"}

    def call(self, method: str, path: str, body: Any = None, *, key: str | None = None, **params: Any) -> Response:
        """One call; `path` without the prefix."""
        sent = self.headers | ({"idempotency-key": key} if key else {})
        return self.sandbox.call(method, f"/customer{path}", body, params.items(), **sent)

    def get(self, path: str, **params: Any) -> Any:
        """A document."""
        response = self.call("GET", path, **params)
        assert response.status == 200, response.body
        return exact(response.body)

    def submit(self, *, key: str | None = None, **changes: Any) -> tuple[int, Any]:
        """Status and document of a submitted claim."""
        response = self.call("POST", "/cases", CLAIM | changes, key=key)
        return response.status, exact(response.body)

    def by_reference(self, reference: str) -> Response:
        """The lookup by the client's own reference."""
        return self.call("GET", f"/cases/by-creditor-reference/{quote(reference, safe='')}")


def types(document: dict[str, Any]) -> list[str]:
    """The error types of a refusal."""
    return [error["type"] for error in document["businessErrors"]]
