"""Registering clients: wanted clients of the roster become `POST /clients`, planned, shown, and never twice while in doubt."""

from debitura_pipeline.registration.run import (
    AppliedPlan,
    ClientLink,
    apply_registrations,
    check_may_write,
    client_links,
    plan_registrations,
)

__all__ = [
    "AppliedPlan",
    "ClientLink",
    "apply_registrations",
    "check_may_write",
    "client_links",
    "plan_registrations",
]
