"""Registering clients: send `POST /clients` for the wanted clients of the roster, planned and shown first."""

from debitura_pipeline.registration.run import (
    ClientLink,
    apply_registrations,
    client_links,
    plan_registrations,
)

__all__ = [
    "ClientLink",
    "apply_registrations",
    "client_links",
    "plan_registrations",
]
