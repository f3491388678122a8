"""Links that clients open: to sign, and to approve being linked. They expire, and a fresh one replaces the one before."""

from __future__ import annotations

from debitura_sandbox.api.context import Context
from debitura_sandbox.api.documents import LINKS_APART, onboarding_url
from debitura_sandbox.world import people
from debitura_sandbox.world.submitted import LinkRequest


def approval_url(context: Context, request: LinkRequest) -> str:
    """Where a client approves a request to link it."""
    number = LINKS_APART // 2 + request.row + request.issue * LINKS_APART
    return f"{people.SIGNING_HOST}/approve/{people.link_id(context.world.salts['links'], number)}"


def renew_expired_link(context: Context, row: int) -> None:
    """Give a client a fresh signing link if its last one has expired."""
    clients, life_s = context.world.clients, context.undocumented.link_life_s
    if clients["done"][row] or life_s is None or not has_expired(context, row):
        return
    context.change({"op": "renew_link", "tenant": clients["tenant"][row]})


def has_expired(context: Context, row: int) -> bool:
    """Whether the client's signing link has expired."""
    life_s = context.undocumented.link_life_s
    _, issued_us = context.world.signing_links.get(row, (0, int(context.world.clients["linked"][row])))
    return life_s is not None and context.clock.now_us() >= issued_us + int(life_s * 1_000_000)


def open_link(context: Context, url: str) -> dict[str, str]:
    """What a client does who opens a link: sign everything, or approve. Raises ValueError for an unknown or expired link."""
    for tenant, request in context.world.link_requests.items():
        if not request.is_over and approval_url(context, request) == url:
            context.change({"op": "approve_link", "tenant": tenant})
            return {"tenant": tenant, "did": "approve"}
    for row in range(len(context.world.clients)):
        if context.world.clients["alive"][row] and onboarding_url(context.world, row) == url:
            if has_expired(context, row):
                raise ValueError("the link has expired")
            tenant = str(context.world.clients["tenant"][row])
            context.change({"op": "sign", "tenant": tenant})
            return {"tenant": tenant, "did": "sign"}
    raise ValueError("the link is not known, or a fresh one has replaced it")
