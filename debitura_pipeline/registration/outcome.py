"""What a response to `POST /clients` means. Pure.

Known: 201, 202, 409 with its types in every documented spelling, 400, 422. Of other statuses, 2xx is judged by its body.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from debitura_pipeline.api.label_words import is_label
from debitura_pipeline.api.writes import WriteResponse
from debitura_pipeline.outbound.applied import KEY_IS_REFUSED
from debitura_pipeline.registration.listed import link_in, listed_client, lower, whole_text
from debitura_pipeline.registration.states import (
    LINKED_ELSEWHERE,
    NEEDS_LINKING,
    PENDING,
    PLANNED,
    REFUSALS,
    REFUSED,
    REGISTERED,
    SENT,
)

# In lower case, without the ending that the API varies.
_NEEDS_LINKING = "clientexistsneedslinking"
_ELSEWHERE = ("alreadylinkedtoanotherpartner", "clientalreadylinkedtoanotherpartner")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
NOT_ALLOWED = (401, 403)
NO_RIGHT = "The key lacks a right"


@dataclass(frozen=True)
class RegistrationOutcome:
    """The state that follows, and what is stored with it. `link`: where the client signs or approves; never stored.

    `ends_apply`: no other client would fare better, and why; `ends_if_repeated`: why, if several in a row are answered so.
    """

    state: str
    http_status: int | None
    error_types: tuple[str, ...] = ()
    creditor_id: str | None = None
    message: str | None = None
    link: str | None = field(default=None, repr=False)
    ends_apply: str | None = None
    ends_if_repeated: str | None = None

    @property
    def had_effect(self) -> bool:
        """Whether a request was processed, or may have been."""
        return self.state == SENT or self.http_status not in (*NOT_ALLOWED, 429)

    @property
    def is_bad(self) -> bool:
        """Whether the brake counts it: refused, or in doubt."""
        return self.state in (REFUSED, SENT)


def registration_outcome(answer: WriteResponse, tenant: str) -> RegistrationOutcome:
    """The outcome of an answer to the registration of `tenant` (the API's id)."""
    status = answer.status
    if 200 <= status < 300:
        return _accepted(answer, tenant)
    if status == 409 and answer.is_api_error:
        return _conflict(answer)
    if status in NOT_ALLOWED and not answer.is_unreadable:
        advice = "check DEBITURA_API_KEY" if status == 401 else "it may not register clients"
        return RegistrationOutcome(
            PLANNED, status, message=f"HTTP {status}: had no effect",
            ends_apply=f"{KEY_IS_REFUSED if status == 401 else NO_RIGHT} (HTTP {status} on POST /clients); {advice}.",
        )  # fmt: skip
    if status in REFUSALS and answer.is_api_error:  # 409 was looked at above
        types = (*answer.codes, *answer.fields)
        return RegistrationOutcome(REFUSED, status, types, message=f"refused (HTTP {status})")
    odd = f"HTTP {status}" + (", and no documented error: check the row" if status in REFUSALS else "")
    return RegistrationOutcome(  # perhaps a proxy's, in front of or behind which the request had its effect
        SENT, status, answer.codes, message=f"{odd}; the listing decides",
        ends_if_repeated=f"POST /clients answers HTTP {status} in a way that is not documented; check DEBITURA_API_URL.",
    )  # fmt: skip


def _accepted(answer: WriteResponse, tenant: str) -> RegistrationOutcome:
    """201: signed. 202: not yet. Another 2xx, or a body about somebody else, says nothing certain: the listing will."""
    fields, found = lower(answer.document), listed_client(answer.document)
    named = whole_text(fields.get("externaltenantid"))
    if named is not None and named != tenant:
        return RegistrationOutcome(SENT, answer.status, message="the answer names another client; the listing decides")
    undecided = RegistrationOutcome(
        SENT, answer.status, message=f"HTTP {answer.status} without a client; the listing decides"
    )
    if answer.is_unreadable or (answer.document is not None and named is None):  # a page, perhaps of a gateway
        return undecided
    creditor_id = found.creditor_id if found else None
    if answer.status == 201 or (answer.status != 202 and found is not None and found.is_signed):
        return RegistrationOutcome(REGISTERED, answer.status, creditor_id=creditor_id)
    if answer.status == 202 or found is not None:
        return RegistrationOutcome(PENDING, answer.status, creditor_id=creditor_id, link=link_in(fields))
    return undecided


def _conflict(answer: WriteResponse) -> RegistrationOutcome:
    document = lower(answer.document)
    conflict = lower(document.get("conflictresponse")) or document
    kind = _kind(conflict) or next(iter(answer.codes), "")
    plain = kind.lower().replace("_", "")
    types = (kind,) if kind else ()
    if plain == _NEEDS_LINKING:
        link = link_in(lower(conflict.get("data")))
        return RegistrationOutcome(NEEDS_LINKING, 409, types, message="the client has to approve the link", link=link)
    if plain in _ELSEWHERE:
        return RegistrationOutcome(LINKED_ELSEWHERE, 409, types, message="the client is linked to another partner")
    return RegistrationOutcome(REFUSED, 409, types, message="refused (HTTP 409)")


def _kind(conflict: dict[str, Any]) -> str | None:
    """The conflict's type, if it is one word made of ordinary words."""
    kind = whole_text(conflict.get("type"))
    return kind if kind and _CODE.fullmatch(kind) and is_label(kind) else None
