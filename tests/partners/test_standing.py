"""`partners status`: what two small files say, without reading more of them than it takes."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from debitura_pipeline.incidents.state import Incident, State
from debitura_pipeline.orchestration import nights
from debitura_pipeline.orchestration.nights import read_nights, read_recent_nights
from debitura_pipeline.partners import Overview, Standing, read_overviews, read_standing
from debitura_pipeline.settings import load_settings
from debitura_pipeline.settings.partners_file import find_partners
from debitura_pipeline.warehouse.run_lock import exclusive_run

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def record(data_dir: Path, *outcomes: str | None, until: datetime = NOW, is_proven: bool = True) -> None:
    """A run a day, the last one ending five hours before `until`."""
    lines = []
    for number, outcome in enumerate(reversed(outcomes)):
        at = until - timedelta(days=number, hours=5)
        began = {"event": "began", "run_id": f"r{number}", "at": (at - timedelta(minutes=5)).isoformat()}
        lines.append({**began, "started_by": "command", "pid": os.getpid(), "host": os.uname().nodename})
        if outcome is not None:
            end = {"outcome": outcome, "is_proven": is_proven, "reason": "HTTP 500" if outcome == "failed" else None}
            lines.append({"event": "ended", "run_id": f"r{number}", "at": at.isoformat(), **end})
    pairs = sorted(lines, key=lambda line: str(line["at"]))
    data_dir.mkdir(exist_ok=True)
    (data_dir / nights.FILE).write_text("".join(json.dumps(line) + "\n" for line in pairs))


def standing(data_dir: Path) -> Standing:
    return read_standing(Overview("a", "production", "file", data_dir, "0 2 * * *"), NOW)


def test_a_good_night(tmp_path: Path) -> None:
    record(tmp_path, "failed", "done")
    found = standing(tmp_path)
    assert (found.last_run, found.is_proven, found.problems) == ("done", True, ())
    facts = found.facts(NOW)
    assert facts["age_s"] == 5 * 3600
    assert facts["next_due_at"] == "2026-11-28T02:00:00+00:00"


def test_nights_that_went_wrong(tmp_path: Path) -> None:
    record(tmp_path, "done", "failed")
    assert standing(tmp_path).problems == (
        "the last nightly run failed: HTTP 500",
        "no good nightly run for more than 26 hours",
    )
    record(tmp_path, "done", None)
    assert standing(tmp_path).last_run == "killed"
    with exclusive_run(load_settings({"DEBITURA_DATA_DIR": str(tmp_path)}, tmp_path)):
        assert standing(tmp_path).last_run == "running"
    (tmp_path / nights.FILE).unlink()
    assert standing(tmp_path).problems == ("no good nightly run yet",)


def test_open_incidents_are_problems(tmp_path: Path) -> None:
    record(tmp_path, "done")
    (tmp_path / "incidents").mkdir()
    incident = Incident("quarantine", "cases", "3 rows", NOW)
    (tmp_path / "incidents" / "state.json").write_bytes(msgspec.json.encode(State(incidents=[incident])))
    (problem,) = standing(tmp_path).problems
    assert problem.startswith("incident: ")
    assert problem.endswith("(cases)")
    (found,) = standing(tmp_path).facts(NOW)["incidents"]
    assert (found["what"], found["next"]) == ("3 rows", "debitura --partner a status")


def test_a_run_that_is_not_proven_is_a_problem_once(tmp_path: Path) -> None:
    """Where an incident says so, the list of problems has it already."""
    record(tmp_path, "done", is_proven=False)
    found = standing(tmp_path)
    assert (found.is_proven, found.doubt) == (False, "no reason recorded")
    assert found.problems == ("not proven complete: no reason recorded",)
    (tmp_path / "incidents").mkdir()
    incident = Incident("night_unproven", "nightly", "3 windows moved.", NOW)
    (tmp_path / "incidents" / "state.json").write_bytes(msgspec.json.encode(State(incidents=[incident])))
    assert standing(tmp_path).problems == ("incident: the figures are not proven complete (nightly)",)


def test_the_end_of_a_long_record_is_enough(tmp_path: Path) -> None:
    """As many nights as it takes to find a good one, whatever a crash has left of the last line."""
    record(tmp_path, *["done"] * 800)
    recent, everything = read_recent_nights(tmp_path), read_nights(tmp_path)
    assert 1 < len(recent) < 20
    assert recent == everything[-len(recent) :]
    record(tmp_path, "done", *["failed"] * 700)
    assert read_recent_nights(tmp_path)[0].outcome == "done"
    with (tmp_path / nights.FILE).open("a") as file:
        file.write('{"event": "beg')
    assert read_recent_nights(tmp_path) == read_nights(tmp_path)
    assert read_recent_nights(tmp_path / "none") == []


def test_two_hundred_partners_take_a_fraction_of_a_second(tmp_path: Path) -> None:
    record(tmp_path / "p0", *["done"] * 800)
    content = (tmp_path / "p0" / nights.FILE).read_bytes()
    for number in range(200):
        (tmp_path / f"p{number}").mkdir(exist_ok=True)
        (tmp_path / f"p{number}" / nights.FILE).write_bytes(content)
    tables = [f'[p{number}]\nenvironment = "test"\napi_key_variable = "P{number}_KEY"\n' for number in range(200)]
    (tmp_path / "partners.toml").write_text("\n".join(tables))
    began = time.process_time()
    given = {"DEBITURA_PARTNERS": "partners.toml", "DEBITURA_DATA_DIR": str(tmp_path)}
    partners = find_partners(given, tmp_path)
    assert partners is not None
    found = [read_standing(overview, NOW) for overview in read_overviews(partners, given)]
    assert time.process_time() - began < 1.0  # a quarter of it, on an idle machine
    assert {each.last_run for each in found} == {"done"}
    assert len(found) == 200
