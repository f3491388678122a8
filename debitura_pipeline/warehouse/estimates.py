"""What estimates came to after each merge: `ops.estimate_totals`.

The USD of an estimate moves with exchange rates and opens no version, so history alone gives the last USD that was read. The
totals here are kept per group of estimates, for as long as they stood; `marts.transactions_as_of` spreads the difference over
the group's rows, and so gives the sums of that time. Groups are coarse enough to stay few (per client: a row or two for each
currency), and fine enough for every figure by client, currency and stage.

A row counts as an estimate unless the API says that it is none, as in the marts. Where it says nothing the USD is part of the
row's hash, so history is exact for such rows, and they take no part of a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from debitura_pipeline.contract.tables import Table
from debitura_pipeline.warehouse.merge_sql import Statement, current, quoted
from debitura_pipeline.warehouse.tables import OPS

_NAMES = [name for name, _ in OPS["estimate_totals"]]
KEYS = _NAMES[: _NAMES.index("transaction_count")]
SUMS = _NAMES[_NAMES.index("transaction_count") + 1 : _NAMES.index("valid_from")]


def record_totals(table: Table, at: datetime) -> Iterator[Statement]:
    """Statements that bring the totals up to date with the merged rows. Groups whose totals stand as recorded stay as they are.

    `at`: the sync's clock. Merged twice, or by two syncs of one clock, the last totals count.
    """
    keys, figures = ", ".join(KEYS), [*KEYS, "transaction_count", *SUMS]
    grouped = ", ".join(f"coalesce({quoted(name)}, '(null)') AS {name}" for name in KEYS)
    sums = ", ".join(f"CAST(coalesce(sum({quoted(name)}), 0) AS DECIMAL(28,4)) AS {name}" for name in SUMS)
    yield (
        f"""CREATE TEMPORARY TABLE merge_estimates AS
        SELECT {keys}, count(*) AS transaction_count, {sums}
        FROM (
            SELECT {grouped}, {", ".join(map(quoted, SUMS))}
            FROM {current(table)} WHERE _deleted_at IS NULL AND coalesce({quoted(table.estimate_flag or "")}, true)
        ) AS live
        GROUP BY {keys}""",
        (),
    )
    unchanged = " AND ".join(f"m.{name} = t.{name}" for name in figures)
    yield (
        f"""UPDATE ops.estimate_totals AS t SET valid_to = CAST($1 AS TIMESTAMPTZ)
        WHERE t.valid_to IS NULL AND NOT EXISTS (SELECT 1 FROM merge_estimates AS m WHERE {unchanged})""",
        (at,),
    )
    yield "DELETE FROM ops.estimate_totals WHERE valid_from = $1 AND valid_to = $1", (at,)
    same = " AND ".join(f"m.{name} = t.{name}" for name in KEYS)
    yield (
        f"""INSERT INTO ops.estimate_totals ({", ".join(figures)}, valid_from, valid_to)
        SELECT {", ".join(f"m.{name}" for name in figures)}, CAST($1 AS TIMESTAMPTZ), NULL FROM merge_estimates AS m
        WHERE NOT EXISTS (SELECT 1 FROM ops.estimate_totals AS t WHERE t.valid_to IS NULL AND {same})""",
        (at,),
    )
