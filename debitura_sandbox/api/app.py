"""The simulated API as a function from request to response: key, rate limits, faults, routing."""

from __future__ import annotations

import math
from urllib.parse import unquote

from debitura_sandbox.api import admin, client_routes, customer_api, static_documents, webhook_routes
from debitura_sandbox.api.context import Context
from debitura_sandbox.api.documents import case_document, client_document
from debitura_sandbox.api.faults import Route
from debitura_sandbox.api.http import RefusedError, Request, Response, answer, not_found
from debitura_sandbox.api.ledger import LedgerEntry, is_writing
from debitura_sandbox.api.query import BadQueryError, read_query

LISTING_PATHS = {"/clients": "clients", "/cases": "cases", "/reporting/transactions": "transactions"}


class Sandbox(Context):
    """The simulated API without a server: tests call `handle` directly."""

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        self.catch_up()
        if request.path.startswith("/sandbox/"):
            return admin.route(self, request)
        entry = self._ledger_entry(request) if is_writing(request) else None
        response = self._limited(request, entry)
        if entry is not None:
            entry.status = 0 if response.connection_fault else response.status
        return response

    def _ledger_entry(self, request: Request) -> LedgerEntry:
        client = customer_api.client_of(self, request)
        tenant = None if client is None else str(self.world.clients["tenant"][client])
        return self.ledger.open(request, tenant, self.clock.now_us(), self.wall())

    def _limited(self, request: Request, entry: LedgerEntry | None) -> Response:
        """The response, or that of a rate limit or a missing key."""
        is_customer = request.path.startswith("/customer/")
        self.log[f"{request.method} {request.path}"] += 1
        key = request.headers.get("xapikey", "")
        is_known = key == self.options.key
        counted = self._counted_as(request) if is_customer else key if is_known else ""
        if not is_customer:
            self.requests += 1
        wait = self.limits.take(counted, self.wall()) if self.options.has_rate_limit and counted is not None else None
        if wait is not None:
            self.log["429"] += 1
            return too_many(wait)
        if not is_known and not is_customer:
            return Response(401, b"", None)
        return self._answered(request, self._customer if is_customer else self._route, entry)

    def _counted_as(self, request: Request) -> str | None:
        """The key under which a call of the Customer API is counted; None if it is not."""
        counted = self.undocumented.customer_calls_count
        return {"token": request.headers.get("authorization", ""), "key": self.options.key}.get(counted)

    def _answered(self, request: Request, route: Route, entry: LedgerEntry | None) -> Response:
        """The route's response, or that of a fault."""

        def recorded(request: Request) -> Response:
            response = _without_refusal(route, request)
            if entry is not None:
                entry.record(response)
            return response

        rule = self.faults.match(request)
        if rule is None:
            return recorded(request)
        self.log[f"fault {rule.kind}"] += 1
        if entry is not None:
            entry.fault = rule.kind
        return self.faults.apply(rule, request, recorded, self.change, self.later)

    def _customer(self, request: Request) -> Response:
        return customer_api.route(self, request)

    def _route(self, request: Request) -> Response:
        resource = LISTING_PATHS.get(request.path)
        if resource is not None and request.method == "GET":
            try:
                query = read_query(resource, request.query)
            except BadQueryError as bad:
                return answer(bad.body, 400)
            return Response(200, self.pages.page(query, self.clock.now_us(), self.requests).body())
        parts = request.path.strip("/").split("/")
        if request.method == "GET" and len(parts) == 2 and parts[0] == "cases":
            return self._case(parts[1])
        if request.method == "GET" and len(parts) == 2 and parts[0] == "clients":
            return self._client(unquote(parts[1]))
        if parts[0] == "v1":
            return webhook_routes.route(self, request)
        return static_documents.route(self, request) or client_routes.route(self, request) or not_found("The path")

    def _case(self, id_: str) -> Response:
        row = self.find("cases", id_)
        if row is None:
            return not_found("The case")
        return answer(
            case_document(self.world, row) | {"potentialRevenue": static_documents.potential_revenue(self.world, row)}
        )

    def _client(self, tenant: str) -> Response:
        row = self.world.find_tenant(tenant)
        if row is None:
            return not_found("The client")
        return answer(client_document(self.world, row, self.world.client_stats()))


def _without_refusal(route: Route, request: Request) -> Response:
    try:
        return route(request)
    except RefusedError as refused:
        return refused.response


def too_many(wait_s: float) -> Response:
    """A 429 response. The wait is in the body only, there is no Retry-After header."""
    body = {"error": "rate_limit_exceeded", "message": "Too many requests.", "retryAfter": math.ceil(wait_s * 10) / 10}
    return answer(body, 429)
