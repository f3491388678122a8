"""List the personal strings of the simulated API, so that tests can search for them where they must not be.

Postal codes, first names and user ids are left out: they are too short to be distinguished from other text.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from debitura_sandbox.api import static_documents
from debitura_sandbox.api.documents import ASKED, client_document
from debitura_sandbox.world import people
from debitura_sandbox.world.world import World


def personal_strings(world: World) -> list[str]:
    """Names, addresses, e-mail addresses and links of people that were or are served, and the partner's own id."""
    found: set[Any] = {static_documents.partner_id(world), static_documents.PARTNER_EMAIL}
    stats = world.client_stats()
    for row in range(len(world.clients)):
        document = client_document(world, row, stats)
        kyc = document["kycVerification"] or {}
        found |= {document["client"]["officeEmail"], document["client"]["address"], document["onboardingLinks"]["url"]}
        found |= {user.email for user in world.users(row)} | {user.name for user in world.users(row)}
        found |= {kyc.get("directorFullName"), kyc.get("directorHomeAddress"), kyc.get("directorDateOfBirth")}
    pairs = np.unique(np.column_stack([world.cases["head"], world.cases["tail"]]), axis=0)
    found |= {people.debtor_name(head, tail) for head, tail in pairs.tolist()}
    for case in world.submissions.cases.values():
        debtor = case.people.get("debtor") or {}
        found |= {debtor.get(name) for name in ("name", "contactPerson", "address", "email", "phone")}
        found |= {case.people.get(name) for name in ("comments", "claimDescription", "assignedUserEmail")}
    found |= {item["description"] for items in ASKED for item in items}
    return sorted(str(text) for text in found if text)
