"""The routes under `/v1/Webhooks`: subscriptions, their secrets, and test deliveries."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from debitura_sandbox.api.context import Context
from debitura_sandbox.api.http import Request, Response, answer, empty, failure, not_found
from debitura_sandbox.api.webhooks import Subscription
from debitura_sandbox.world import codes
from debitura_sandbox.world.columns import from_us
from debitura_sandbox.world.daily_changes import Event

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_URL = 1_024


def route(context: Context, request: Request) -> Response:
    """Answer a call under /v1/Webhooks."""
    hooks, parts = context.webhooks, request.path.strip("/").split("/")
    if parts[:2] != ["v1", "Webhooks"] or len(parts) > 3:
        return not_found("The path")
    if len(parts) == 2:
        if request.method == "GET":
            return answer([subscription.document() for subscription in hooks.subscriptions.values()])
        return _create(context, request.document()) if request.method == "POST" else not_found("The path")
    if (request.method, parts[2]) == ("POST", "test"):
        return _test(context, request.document())
    subscription = hooks.subscriptions.get(parts[2].lower())
    if subscription is None:
        return not_found("The webhook")
    if request.method == "DELETE":
        del hooks.subscriptions[subscription.id]
        context.keep_webhooks()
        return empty(204)
    return (
        _update(context, subscription, request.document())
        if request.method == "PUT"
        else answer(subscription.document())
    )


def _fault(context: Context, url: Any, events: Any) -> str | None:
    if not isinstance(events, list) or not events or set(map(str, events)) - set(codes.EVENTS):
        return "events must name at least one known event."
    parts = urlsplit(url) if isinstance(url, str) and len(url) <= MAX_URL else None
    is_local = parts is not None and parts.hostname in LOOPBACK
    if parts is None or not parts.hostname or (is_local and not context.options.accepts_local_webhooks):
        return "url must be a public HTTPS address."
    return None if parts.scheme == "https" or is_local else "url must be HTTPS."


def _create(context: Context, wanted: dict[str, Any]) -> Response:
    fault = _fault(context, wanted.get("url"), wanted.get("events"))
    if fault:
        return failure(400, "ValidationError", fault)
    hooks, now = context.webhooks, from_us(context.clock.now_us()).isoformat()
    made = Subscription(hooks.new_id(), wanted["url"], wanted["events"], bool(wanted.get("isTestMode")), now, now)
    hooks.subscriptions[made.id] = made
    context.keep_webhooks()
    return answer(made.document(hooks.secret_of(made)))


def _update(context: Context, subscription: Subscription, wanted: dict[str, Any]) -> Response:
    url, events = wanted.get("url") or subscription.url, wanted.get("events") or subscription.events
    fault = _fault(context, url, events)
    if fault:
        return failure(400, "ValidationError", fault)
    subscription.url, subscription.events = url, events
    subscription.updated = from_us(context.clock.now_us()).isoformat()
    if wanted.get("isTestMode") is not None:
        subscription.is_test = bool(wanted["isTestMode"])
    if wanted.get("isActive") is not None:
        subscription.is_active = bool(wanted["isActive"])
        subscription.disabled_reason = None if subscription.is_active else subscription.disabled_reason
    is_rotated = bool(wanted.get("regenerateSecret"))
    subscription.rotation += is_rotated
    context.keep_webhooks()
    return answer(subscription.document(context.webhooks.secret_of(subscription) if is_rotated else None))


def _test(context: Context, wanted: dict[str, Any]) -> Response:
    """Queue a real, signed delivery; no data changes."""
    world, name = context.world, str(wanted.get("eventType"))
    if not world.options.is_test_environment:
        return failure(403, "Forbidden", "This operation works in the test environment only.")
    if name not in codes.EVENTS or name == "cases.replay_failed":
        return failure(400, "ValidationError", "eventType is not known.")
    if name.startswith("case."):
        try:
            row = context.find("cases", str(UUID(str(wanted.get("caseId")))))
        except ValueError:
            return failure(400, "ValidationError", "caseId is needed for case events.")
        if row is None:
            return not_found("The case")
        old = codes.LIFECYCLES[int(world.cases["lifecycle"][row])].label
        facts = {
            "case.updated": {
                "oldLifecycle": wanted.get("oldLifecycle") or old, "newLifecycle": wanted.get("newLifecycle") or "Closed",
            },
            "case.closed": {"closeCode": wanted.get("closeCode") or "Paid"},
        }.get(name, {})  # fmt: skip
        event = Event(name, int(world.cases["client"][row]), row, facts)
    else:
        client = world.find_tenant(str(wanted.get("externalTenantId")))
        if client is None:
            return not_found("The client")
        event = Event(name, client)
    count = context.announce([event], to_all=True)
    return answer({"eventType": name, "enqueuedCount": count, "message": f"{count} deliveries queued."})
