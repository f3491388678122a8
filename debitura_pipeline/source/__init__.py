"""Rows that the partner wants sent to Debitura, its roster and its claims: read, validated and hashed."""

from debitura_pipeline.source.claims import CLAIMS, Claim
from debitura_pipeline.source.read import SourceRead, SourceRow, read_claims, read_roster
from debitura_pipeline.source.roster import ROSTER, RosterClient, User
from debitura_pipeline.source.table import RowFault

__all__ = [
    "CLAIMS",
    "ROSTER",
    "Claim",
    "RosterClient",
    "RowFault",
    "SourceRead",
    "SourceRow",
    "User",
    "read_claims",
    "read_roster",
]
