"""A contestant's tables beside the world: rows lost, ghosts, rows out of date, cents off.

Belongs here: the comparison, in DuckDB, the same for all. Does not: the contestants' own column names (`contestants.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from bench import truth
from bench.league.contestants import COMPARED, Contestant


@dataclass(frozen=True)
class Verdict:
    """`cents`: how far the sum of all referral fees in USD is from the world's."""

    lost: int
    ghosts: int
    stale: int
    cents: Decimal

    @property
    def words(self) -> str:
        return f"{self.lost:,} | {self.ghosts:,} | {self.stale:,} | {self.cents:,.2f}"


def judge(contestant: Contestant, folder: Path, world: Path) -> Verdict:
    """`world` holds the truth, taken while nothing moved."""
    with truth.connect(contestant.database(folder)) as connection:
        found = [
            truth.compare(connection, truth.truth_sql(world, resource), contestant.rows_sql(resource), names[0], names)
            for resource, names in COMPARED.items()
        ]
        sums = [
            connection.execute(f"SELECT coalesce(sum(referral_fee_usd), 0) FROM {relation}").fetchall()[0][0]
            for relation in (truth.truth_sql(world, "transactions"), contestant.rows_sql("transactions"))
        ]
    off = abs(Decimal(sums[0]) - Decimal(sums[1])) * 100
    lost, ghosts, stale = (sum(getattr(d, name) for d in found) for name in ("lost", "ghosts", "stale"))
    return Verdict(lost, ghosts, stale, off)
