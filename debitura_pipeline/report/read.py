"""Read report tables into pandas frames whose amounts are Decimal.

Frames hold Python objects (dtype object): DuckDB's own frames would turn DECIMAL into float, and pandas would turn integers
with gaps into float.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

ZERO = Decimal("0.0000")
# Letters that turn the direction of what follows, so that a company's name could rearrange a figure; and those that XML
# does not know, at which the chart library ends the process.
_TURNING = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_NO_XML = (*(code for code in range(0x20) if chr(code) not in "\t\n\r"), *range(0x7F, 0xA0), 0xFEFF, 0xFFFE, 0xFFFF)
REMOVED_CHARACTERS = dict.fromkeys((*_TURNING, *_NO_XML))


class ReportSource(Protocol):
    """What the report needs of a warehouse."""

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...

    def tables(self) -> set[str]: ...

    def columns(self, schema: str, table: str) -> list[str]: ...

    def has_function(self, schema: str, name: str) -> bool: ...


class Reports:
    """Read access by name to tables of schemas `reports`, `marts`, `raw` and `ops`."""

    def __init__(self, warehouse: ReportSource) -> None:
        self._warehouse = warehouse
        self._tables = warehouse.tables()
        self._lacking: dict[str, None] = {}
        self._read: dict[Callable[[Reports], Any], Any] = {}

    def once(self, make: Callable[[Reports], T]) -> T:
        """What `make` reads, for several sections that need it: a function of the module, called once."""
        if make not in self._read:
            self._read[make] = make(self)
        found: T = self._read[make]
        return found

    def has(self, *tables: str) -> bool:
        """Whether all of these tables (`reports.data_quality`) exist. Those that do not are listed in `lacking`."""
        missing = [table for table in tables if table not in self._tables]
        self._lacking |= dict.fromkeys(missing)
        return not missing

    def has_column(self, table: str, column: str) -> bool:
        """Whether the table is there with this column, which files of an older version may lack."""
        return table in self._tables and column in self._warehouse.columns(*table.split("."))

    def has_function(self, schema: str, name: str) -> bool:
        """Whether the warehouse has this function, or table macro in DuckDB."""
        return self._warehouse.has_function(schema, name)

    @property
    def lacking(self) -> tuple[str, ...]:
        """The tables that were asked for and are not there, in order of first asking."""
        return tuple(self._lacking)

    def frame(self, table: str, columns: Sequence[str], tail: str = "", params: Sequence[Any] = ()) -> pd.DataFrame:
        """`columns` of `table`, in order; an entry may be an expression with a name, `sum(x) AS x`. `tail` follows the
        table's name: WHERE, GROUP BY, ORDER BY, LIMIT. `params`: values of its question marks. Raises WarehouseError if the
        table lacks a column."""
        import pandas as pd  # noqa: PLC0415 - half a second, and only a report needs it

        names = [column.rpartition(" AS ")[2].rpartition(".")[2] for column in columns]
        rows = self._warehouse.rows(f"SELECT {', '.join(columns)} FROM {table} {tail}", params)
        return pd.DataFrame([tuple(map(_shown, row)) for row in rows], columns=names, dtype=object)

    def records(self, table: str, columns: Sequence[str], tail: str = "", params: Sequence[Any] = ()) -> list[Any]:
        """The same rows as named tuples. Raises WarehouseError."""
        return list(self.frame(table, columns, tail, params).itertuples(index=False, name="Row"))


def _shown(value: Any) -> Any:
    return value.translate(REMOVED_CHARACTERS) if isinstance(value, str) else value


def total(values: Iterable[Decimal | None]) -> Decimal:
    """Exact sum; None adds nothing, and no value at all gives 0.0000."""
    return sum((value for value in values if value is not None), start=ZERO)
