"""The metrics file as a scraper reads it."""

from __future__ import annotations

import re
from pathlib import Path

from debitura_pipeline.api.connect import RateLimitUsage
from debitura_pipeline.incidents.metrics import METRICS, count_open, exposition, measure, write_metrics
from tests.incidents.planted import NOW, clean, with_resource

SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"\})? -?\d+(\.\d+)?(e[+-]\d+)?')


def test_every_metric_has_help_and_type_once_and_samples_behind_them() -> None:
    samples = measure(clean(), RateLimitUsage(100, 200, 18_000, 99_000), {}) | count_open(())
    lines = exposition(samples).splitlines()
    described = [line.split()[2] for line in lines if line.startswith("# HELP ")]
    assert described == list(METRICS) and len(set(described)) == len(described)
    assert [line.split()[2] for line in lines if line.startswith("# TYPE ")] == described
    current = None
    for line in lines:
        if line.startswith("#"):
            current = line.split()[2]
        else:
            assert SAMPLE.fullmatch(line) and re.split(r"[{ ]", line)[0] == current, line
    assert all(name.endswith("_total") == (metric.type_ == "counter") for name, metric in METRICS.items())
    assert 'debitura_budget_left_requests{period="hour"} 17900' in lines


def test_a_tick_that_cannot_read_the_warehouse_keeps_what_the_night_has_measured() -> None:
    night = measure(with_resource(resource="cases", differing=2), None, {})
    assert measure(clean(), None, night)["debitura_differences"]["cases"] == 0
    from dataclasses import replace

    by_day = measure(replace(clean(), warehouse=None), None, night)
    assert by_day["debitura_differences"]["cases"] == 2
    assert by_day["debitura_last_success_timestamp_seconds"] == {"": (NOW.timestamp() - 1800)}


def test_a_listing_that_was_never_read_has_no_difference_of_zero() -> None:
    """An alert on differences would read 0 as equal."""
    assert "cases" not in measure(with_resource(resource="cases", synced_at=None), None, {})["debitura_differences"]


def test_the_file_is_replaced_whole_and_a_group_may_read_it(tmp_path: Path) -> None:
    """node_exporter runs as somebody else."""
    write_metrics(tmp_path, measure(clean(), None, {}))
    folder = tmp_path / "metrics"
    assert (folder / "debitura.prom").stat().st_mode & 0o777 == 0o600
    folder.chmod(0o750)
    write_metrics(tmp_path, measure(clean(), None, {}))
    assert (folder / "debitura.prom").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in folder.iterdir()] == ["debitura.prom"]


def test_metrics_of_a_partner_carry_its_name() -> None:
    """node_exporter refuses files of several partners whose samples are named alike."""
    lines = exposition({"debitura_last_night_success": {"": 1.0}, "debitura_rows": {"cases": 5.0}}, "acme").splitlines()
    assert 'debitura_last_night_success{partner="acme"} 1' in lines
    assert 'debitura_rows{resource="cases",partner="acme"} 5' in lines
