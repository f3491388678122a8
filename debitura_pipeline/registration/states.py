"""States of a wanted client, as in `ops.registrations.state`."""

from __future__ import annotations

INVALID = "invalid"  # its row breaks a rule
PLANNED = "planned"  # to be sent by the next apply
SENT = "sent"  # sent, outcome unknown
PENDING = "pending_signature"
REGISTERED = "registered"
NEEDS_LINKING = "needs_linking"  # known to Debitura; that client must approve the link
LINKED_ELSEWHERE = "linked_elsewhere"
REFUSED = "refused"
NO_ROW = "the roster no longer has it"  # message of a client that nobody wants any more
REFUSALS = (400, 409, 422)  # statuses that are Debitura's own word
WITHDRAWN = "withdrawn"  # was linked, is no longer listed

LINKED = frozenset({PENDING, REGISTERED})
# States that an apply ends with exit status 1 for.
OPEN = frozenset({REFUSED, SENT})
