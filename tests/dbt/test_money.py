"""Sums of random amounts: what the reports say is what Python's decimals add up to, to the last digit."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.dbt.worlds import STATUSES, World, at_stage, night

AMOUNTS = st.decimals(min_value=Decimal("-9999999999999"), max_value=Decimal("99999999999999"), places=4)
ROWS = st.lists(
    st.tuples(AMOUNTS, AMOUNTS, st.sampled_from(sorted(STATUSES)), st.sampled_from(["EUR", "USD", None])),
    min_size=5,
    max_size=40,
)


# Every example is a whole run of dbt: two, and no search for a smaller one.
@settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=ROWS)
def test_sums_are_exact(tmp_path: Path, rows: list[tuple[Decimal, Decimal, str, str | None]]) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    world = World(folder / "warehouse.duckdb")
    world.sync(night(0))
    world.add("clients", "client-1")
    world.add("cases", "case-1", (0, {"gross_amount": str(rows[0][0]), "remainder": str(rows[0][1])}))
    stages: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for number, (fee, usd, stage, currency) in enumerate(rows):
        values = {"earnings_currency": currency, "referral_fee": str(fee), **at_stage(stage, str(usd))}
        world.add("transactions", f"t{number}", (0, values))
        stages[stage, currency or "unknown"] += usd
    world.build("--select", "+revenue_by_client", "+revenue_by_month", "+fct_cases", command="run")
    found = {
        (row["revenue_stage"], row["currency"]): row["referral_fee_usd"]
        for row in world.records("reports.revenue_by_client")
    }
    assert found == stages
    collected = world.rows(
        "SELECT sum(referral_fee_usd), sum(disputed_fee_usd), sum(unclassified_fee_usd) "
        "FROM reports.revenue_by_month WHERE basis = 'collected'"
    )
    total = sum(stages.values(), start=Decimal(0))
    disputed = sum((usd for (stage, _), usd in stages.items() if stage == "Disputed"), start=Decimal(0))
    odd = sum((usd for (stage, _), usd in stages.items() if stage == "Unclassified"), start=Decimal(0))
    assert collected == [(total - disputed - odd, disputed, odd)]
    assert world.rows("SELECT recovered_amount FROM marts.fct_cases") == [(rows[0][0] - rows[0][1],)]
