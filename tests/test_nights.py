"""Three nights by command: a refused key, a good one, one whose cases are contradicted; what is said, sent and published."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.altering import altering
from tests.support.command import Said, debitura, environment
from tests.support.odd_rows import without_odd_rows
from tests.support.parsed import reuse_parse
from tests.support.pipeline import Pipeline
from tests.support.receiver import Receiver, receiving
from tests.support.sandbox import ROOT, start_sandbox

SECRET = "hook-secret-path"


@dataclass
class Told:
    """A night, what was asked after it, and what had been sent by then."""

    night: Said
    status: dict[str, Any]
    watch: Said
    titles: list[str]
    pings: list[str]


@dataclass
class Nights:
    pipeline: Pipeline
    receiver: Receiver
    refused: Told
    good: Told
    contradicted: Told
    met: dict[str, Any]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """A reader waits for the first published files, and is there when others take their place."""
    sandbox = start_sandbox(clients=6, cases=60, transactions=90, seed=7, no_rate_limit=True)
    contradictions: list[int] = []

    def alter(path: str, document: Any) -> Any:
        if path.startswith("/cases?"):
            document["summary"]["byLifecycle"]["active"] += sum(contradictions)
        return document

    with altering(sandbox, alter) as url, receiving() as receiver:
        pipeline = Pipeline(tmp_path_factory.mktemp("nights") / "data", sandbox)
        pipeline.env |= {
            "DEBITURA_API_URL": url,
            "DEBITURA_ALERTS": receiver.url(SECRET),
            "DEBITURA_HEARTBEAT_URL": f"http://127.0.0.1:{receiver.port}/beat-secret?x=1",
        }
        without_odd_rows(sandbox)
        reuse_parse(pipeline.settings)
        reader = subprocess.Popen(
            [sys.executable, "-m", "tests.support.reader", str(pipeline.settings.published_dir)],
            cwd=ROOT, env=environment({}), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            refused = night(pipeline, receiver, DEBITURA_API_KEY="wrong")
            good = night(pipeline, receiver)
            sandbox.admin("advance", {"days": 3})
            without_odd_rows(sandbox)
            contradictions.append(1)
            contradicted = night(pipeline, receiver)
            assert reader.poll() is None
        finally:
            out, _ = reader.communicate(input="", timeout=60)
        yield Nights(pipeline, receiver, refused, good, contradicted, json.loads(out))
    sandbox.stop()


def night(pipeline: Pipeline, receiver: Receiver, **env: str) -> Told:
    said = debitura("nightly", env={**pipeline.env, **env})
    status = json.loads(debitura("status", "--json", env=pipeline.env).out)
    watch = debitura("watch", "--once", env=pipeline.env)
    return Told(said, status, watch, receiver.titles, list(receiver.pings))


def test_a_refused_key_is_told_as_that(nights: Nights) -> None:
    told, alert = nights.refused, nights.receiver.alerts[0]
    assert told.night.status == 1 and SECRET not in told.night.out + told.night.err
    assert told.titles == ["Debitura [sandbox]: the API refuses the key"]
    assert "HTTP 401" in alert["message"] and "Next: debitura doctor" in alert["message"]
    assert told.pings == ["/beat-secret/fail?x=1"]
    incidents = [(one["incident"], one["next"]) for one in told.status["incidents"]]
    assert incidents == [("key_refused", "debitura doctor")]
    assert told.watch.status == 1 and "There has been no good nightly run yet" in told.watch.error_line


def test_the_next_good_night_ends_the_incident(nights: Nights) -> None:
    told = nights.good
    assert told.night.status == 0, told.night.out + told.night.err
    assert told.titles[1:] == ["Debitura [sandbox]: over: the API refuses the key"]
    assert told.pings[1:] == ["/beat-secret?x=1"]
    assert (told.status["incidents"], told.watch.status) == ([], 0)


def test_a_night_whose_cases_are_contradicted_is_published_and_ends_with_status_1(nights: Nights) -> None:
    pipeline, said = nights.pipeline, nights.contradicted.night
    assert said.status == 1, said
    assert "proof contradicted: cases: 1 of the API's totals differ from the warehouse: active" in said.out
    page = (pipeline.settings.reports_dir / "partner-report.html").read_text()
    assert "Not proven. cases: 1 of the API" in page
    quality = "SELECT check_name, verdict, figure FROM reports.data_quality WHERE check_name = 'syncs_unproven'"
    assert [(verdict, int(figure)) for _, verdict, figure in pipeline.rows(quality)] == [("warn", 1)]
    assert nights.contradicted.pings[2:] == ["/beat-secret/fail?x=1"]


def test_a_reader_never_meets_an_error_or_a_half_state(nights: Nights) -> None:
    met = nights.met
    assert met["faults"] == []
    assert len(met["seen"]) == 2, "each night was seen, and no state between them"
    assert sum(met["seen"].values()) > 20
    assert met["exports"] > 100
    newest = str(nights.pipeline.rows("SELECT max(as_of) FROM ops.syncs")[0][0])
    assert newest in met["seen"], "the contradicted night is published, too"


def test_the_metrics_tell_the_rows_and_no_address_of_an_alert_is_kept(nights: Nights) -> None:
    data: Path = nights.pipeline.settings.data_dir
    (rows,) = nights.pipeline.rows("SELECT count(*) FROM raw.transactions WHERE _deleted_at IS NULL")[0]
    assert f'debitura_rows{{resource="transactions"}} {rows}\n' in (data / "metrics" / "debitura.prom").read_text()
    for path in data.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
