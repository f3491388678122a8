"""`reports.onboarding_funnel`: a client in every stage, on a warehouse written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dbt.worlds import World, night

STAGES = {
    "wanted": ("wanted", 5, "refused (HTTP 400): CompanyName"),
    "planned": ("wanted", None, "registration"),
    "approves": ("wanted", 20, "the client has to approve the link"),
    "registered": ("registered", 30, "signature of the agreement"),
    "with-case": ("registered", 30, "signature of the agreement, identity check (KYC)"),
    "signed": ("signed", 2, "the token was refused, access"),
    "access": ("access", 1, "history"),
    "loaded": ("loaded", 3, "submission of claims"),
    "filed": ("first_case", 10, "first payment"),
    "paid": ("first_payment", 8, None),
    "again": ("must_sign_again", 16, "signature of a new agreement"),
    "archived": ("left", 4, None),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Figures as of night 30. Tenant ids are the names of STAGES, creditor ids `c-` and the name."""
    world = World(tmp_path_factory.mktemp("funnel") / "warehouse.duckdb")
    for at in (0, 30):
        world.sync(night(at))
    world.mode((0, "PayWhenPaid"))

    def registration(tenant: str, state: str, at: int | None = None, **more: Any) -> None:
        world.insert("ops.registrations", {"external_tenant_id": tenant, "state": state, "outcome_at": None if at is None else night(at), **more})

    def client(name: str, at: int = 0, *, gone: int | None = None, signed: bool = True, onboarding: Any = None) -> None:
        listed = {"external_tenant_id": name, "company_name": name, "onboarding_done": signed, "linked_at": night(at)}
        world.add("clients", f"c-{name}", (at, listed), gone=gone, last=30)
        if onboarding:
            row = {
                "partition_key": f"{name}@c-{name}", "external_tenant_id": name, "creditor_id": f"c-{name}",
                "onboarding_done": signed, "updated_at": night(30), **onboarding,
            }  # fmt: skip
            world.insert("ops.onboarding", row)

    registration("wanted", "refused", 25, message="refused (HTTP 400)", error_types="CompanyName")
    registration("planned", "planned")
    registration("approves", "needs_linking", 10, message="the client has to approve the link")
    registration("registered", "pending_signature", 0)
    client("registered", signed=False)
    waiting = {"state": "waiting_for_signature", "outstanding": STAGES["with-case"][2]}
    client("with-case", signed=False, onboarding=waiting)
    client("signed", onboarding={"state": "signed", "signed_at": night(28), "message": "the token was refused"})
    tried = {"state": "signed", "signed_at": night(28), "access_ok": True, "access_checked_at": night(29)}
    client("access", onboarding=tried)
    for name, at in (("loaded", 27), ("filed", 3), ("paid", 3)):
        client(name, onboarding={"state": "loaded", "history_loaded_at": night(at)})
    again = {"state": "must_sign_again", "outstanding": STAGES["again"][2], "history_loaded_at": night(1)}
    client("again", signed=False, onboarding={**again, "updated_at": night(14)})
    client("archived", gone=26, onboarding={"state": "loaded", "history_loaded_at": night(3)})
    world.insert("ops.submissions", {"external_tenant_id": "loaded", "creditor_reference": "r-1", "state": "waiting_for_client"})
    for name, at in (("with-case", 2), ("filed", 20), ("paid", 4)):
        world.add("cases", f"case-{name}", (20, {"creditor_id": f"c-{name}", "created_at": night(at)}), last=30)
    world.add(
        "transactions", "t-1", (22, {"creditor_id": "c-paid", "case_id": "case-paid", "occurred_at": night(22)}), last=30
    )
    world.build("--select", "+onboarding_funnel", command="run")
    return world


def test_each_client_is_at_its_stage_with_what_is_outstanding(world: World) -> None:
    rows = {row["external_tenant_id"]: row for row in world.records("reports.onboarding_funnel")}
    assert {name: (row["stage"], row["days_in_stage"], row["outstanding"]) for name, row in rows.items()} == STAGES
    assert {name for name, row in rows.items() if row["is_stuck"]} == {"approves", "registered", "with-case", "again"}
    paid = rows["paid"]
    steps = [paid[name] for name in ("registered_at", "signed_at", "history_loaded_at", "first_case_at", "first_payment_at")]
    assert steps == [night(0), night(0), night(3), night(4), night(22)]
    assert rows["signed"]["signed_at"] == night(28), "as seen by the onboarding run"
    assert (rows["wanted"]["creditor_id"], rows["wanted"]["client_key"]) == (None, "tenant wanted")
    assert (rows["loaded"]["claims_waiting"], rows["filed"]["claims_waiting"]) == (1, 0)
