"""What the world knows about submitted cases and requested links, beyond its columns.

`people` is in memory only; the rest is rebuilt from the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from debitura_sandbox.world.change import Entry
from debitura_sandbox.world.codes import Flags, Ints


@dataclass(frozen=True)
class SubmittedCase:
    """A submitted case. `partner`: number of the collection partner that takes it; `over_12`, `over_24`: parts of the amount by
    age, in 1/10,000 units; `people`: what the request says about people, and free text."""

    reference: str | None
    date_us: int
    partner: int
    state: str | None = None
    is_test: bool = False
    tag: str | None = None
    over_12: int | None = None
    over_24: int | None = None
    people: dict[str, Any] = field(default_factory=dict)

    @property
    def debtor_name(self) -> str | None:
        """The debtor's name as it was sent; None if it is not known any more."""
        name = self.people.get("debtor", {}).get("name")
        return str(name) if name else None


@dataclass(frozen=True)
class KeptOutcome:
    """The outcome of a request with an idempotency key: a case, or the error types of a refusal. `digest`: of the body."""

    digest: str
    at_us: int
    row: int | None
    error_types: tuple[str, ...] = ()


@dataclass(frozen=True)
class LinkRequest:
    """A request to link a client that Debitura knows already. `row`: its client, not linked yet; `claims`: entries of the cases
    that were sent along; `is_over`: expired or declined."""

    row: int
    asked_us: int
    issue: int
    claims: tuple[Entry, ...]
    is_over: bool = False


class Submissions:
    """Submitted cases by row number and by reference, kept outcomes by (client row, key), and what clients lack."""

    def __init__(self) -> None:
        self.cases: dict[int, SubmittedCase] = {}
        self.outcomes: dict[tuple[int, str], KeptOutcome] = {}
        self.lacking: dict[int, set[str]] = {}  # error types that a client's submissions are refused with
        self.lists_tests = True  # whether the listing for the partner shows test cases
        self.hidden: set[int] = set()  # cases that exist, but that no reader sees yet
        self._rows: Ints = np.zeros(0, dtype=np.int64)
        self._by_reference: dict[tuple[int, str], list[int]] = {}

    def add(self, client: int, row: int, case: SubmittedCase) -> None:
        """Record a submitted case."""
        self.cases[row] = case
        if case.reference is not None:
            self._by_reference.setdefault((client, case.reference), []).append(row)

    def among(self, rows: Ints) -> Flags | None:
        """Which of these rows are submitted cases; None if none is."""
        if not self.cases:
            return None
        if len(self._rows) != len(self.cases):
            self._rows = np.array(list(self.cases), dtype=np.int64)
        mask = np.isin(rows, self._rows)
        return mask if mask.any() else None

    def rows_of(self, client: int, reference: str) -> list[int]:
        """Rows of a client's submitted cases with this reference, deleted ones included."""
        return self._by_reference.get((client, reference), [])

    def is_test(self, row: int) -> bool:
        """Whether a case is a test case."""
        return row in self.cases and self.cases[row].is_test

    def test_rows(self) -> list[int]:
        """Rows of the test cases."""
        return [row for row, case in self.cases.items() if case.is_test]
