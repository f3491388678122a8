"""Records that were stored under another DEBITURA_PRIVACY: their rows would seem to be new, and were sent a second time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import Privacy
from tests.registration.partner import Partner
from tests.source.rows import client_row
from tests.submission.partner import Claims, claim, claims, fault, new_number

MODES: tuple[Privacy, Privacy] = ("pseudonymous", "full")


@pytest.mark.parametrize("before", MODES)
def test_claim_in_doubt_is_not_sent_again_in_the_other_mode(partner: Claims, tenant: str, before: Privacy) -> None:
    after = next(mode for mode in MODES if mode != before)
    partner.settings = replace(partner.settings, privacy=before)
    reference = f"2026 0101 4711 {new_number():02}"  # looks like a phone number
    wanted = claim(tenant, new_number(), creditor_reference=reference)
    partner.wants(wanted, *claims(tenant))
    partner.sandbox.undocumented(lookup_delay_s=3_600.0, refuses_duplicates=False, key_life_s=0)
    partner.sandbox.faults(fault("close", effect="now"))
    assert partner.apply().document.summary == {"sent": 1, "submitted": 1}
    partner.later(minutes=1)
    partner.settings = replace(partner.settings, privacy=after)
    for work in (partner.plan, partner.apply):
        with pytest.raises(SettingsError, match=f"1 record whose tenant id .* while DEBITURA_PRIVACY was {before}"):
            work()
    assert len(partner.keys()[reference]) == 1
    partner.settings = replace(partner.settings, privacy=before)
    partner.later(hours=2)
    assert partner.apply().document.summary == {"submitted": 2}


def test_client_is_not_registered_again_in_the_other_mode(partner: Claims, tmp_path: Path) -> None:
    clients = Partner(tmp_path / "clients", partner.sandbox)
    clients.wants(client_row(1, external_tenant_id=f"sales{new_number()}@acme.example"))
    clients.apply()
    clients.settings = replace(clients.settings, privacy="full")
    for work in (clients.plan, clients.apply):
        with pytest.raises(SettingsError, match=r"ops\.registrations has 1 record"):
            work()
    assert len(clients.sent()) == 1


def test_records_without_contact_data_are_the_same_in_both_modes(partner: Claims, tenant: str) -> None:
    partner.wants(*claims(tenant))
    partner.apply()
    partner.settings = replace(partner.settings, privacy="full")
    assert partner.apply().document.summary == {"submitted": 1}
    assert len(partner.posts()) == 1
