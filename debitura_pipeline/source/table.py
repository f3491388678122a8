"""What a source's table looks like: its columns with their rules, its key, and the row type that valid rows become."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Generic, TypeVar

from debitura_pipeline.source.rules import BrokenRule, Rule

T = TypeVar("T")
Values = Mapping[str, str]  # the fields of a row that are not empty, by column


@dataclass(frozen=True, slots=True)
class RowFault:
    """A rule that a row breaks, and in which column. `rule` never contains the value."""

    column: str
    rule: str

    def __str__(self) -> str:
        return f"{self.column} {self.rule}".strip()


class Holds(Enum):
    """What a column takes where its source has types, beside text, whole numbers and dates."""

    TEXT = "text"
    NUMBER = "a number"
    FLAG = "true or false"
    LIST = "a list"


@dataclass(frozen=True)
class SourceColumn:
    """A column. `rule` checks one value, and returns it as it is hashed."""

    name: str
    rule: Rule
    is_required: bool = False
    holds: Holds = Holds.TEXT


@dataclass(frozen=True)
class SourceTable(Generic[T]):
    """A source. `whole`: faults of several columns taken together, called with values that keep their own rules.
    `build` makes the typed row. `key`: columns that identify a row; the first one is the tenant's id."""

    name: str
    variable: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...]
    whole: Callable[[Values, date], Iterable[RowFault]]
    build: Callable[[Values], T]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns."""
        return tuple(column.name for column in self.columns)

    @property
    def holds(self) -> Mapping[str, Holds]:
        """What each column takes, by its name."""
        return {column.name: column.holds for column in self.columns}

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that every row fills."""
        return tuple(column.name for column in self.columns if column.is_required)

    def check(self, values: Values, today: date) -> tuple[dict[str, str], tuple[RowFault, ...]]:
        """The values as they are hashed, and the rules that the row breaks. `today`: the day by the API's clock.

        Two spellings of one amount are hashed alike; a value that breaks a rule is hashed as it is.
        """
        canonical: dict[str, str] = {}
        faults: dict[str, RowFault] = {}
        for column in self.columns:
            value = values.get(column.name)
            if value is None:
                if column.is_required:
                    faults[column.name] = RowFault(column.name, "is required")
                continue
            try:
                canonical[column.name] = column.rule(value)
            except BrokenRule as broken:
                canonical[column.name] = value
                faults[column.name] = RowFault(column.name, str(broken))
        kept = {name: value for name, value in values.items() if name not in faults} if faults else values
        more = [fault for fault in self.whole(kept, today) if fault.column not in faults]
        return canonical, (*faults.values(), *more)
