"""`debitura report`: the page again from what is published, its PDF, and one clear line where something is not there."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from debitura_pipeline.report import ReportFacts, make_report
from debitura_pipeline.report.pdf import BROWSERS, PdfError, print_pdf
from debitura_pipeline.settings import Settings
from tests.report.maker import tables
from tests.report.tables import NOW, fill
from tests.support.command import debitura


@pytest.fixture
def small(settings: Settings) -> Settings:
    assert settings.warehouse.path is not None
    with tables(settings.warehouse.path) as maker:
        fill(maker, months=2, clients=3, is_whole=False)
    return settings


def test_page_is_made_again_from_the_published_night(small: Settings) -> None:
    """The warehouse may be locked by a run, or half merged; what is published is whole."""
    assert small.warehouse.path is not None
    small.published_dir.mkdir(mode=0o700)
    shutil.copyfile(small.warehouse.path, small.published_dir / "warehouse.duckdb")
    small.warehouse.path.write_bytes(b"another run is writing here")
    said = debitura("report", "--json", env={"DEBITURA_DATA_DIR": str(small.data_dir)})
    assert said.status == 0, said.err
    told = json.loads(said.out)
    assert told["report"] == str(small.reports_dir / "partner-report.html")
    assert told["figures"]["paid_usd"] == make_report(small, now=lambda: NOW).figures["paid_usd"]
    assert "Written:" in said.err


def test_file_of_an_older_version_leaves_a_section_out(small: Settings) -> None:
    """After an update, yesterday's published file lacks what tonight's will have."""
    with duckdb.connect(str(small.warehouse.path)) as warehouse:
        warehouse.execute("ALTER TABLE reports.revenue_pipeline DROP COLUMN not_before_on")
        warehouse.execute("ALTER TABLE reports.revenue_by_client DROP COLUMN clawback_risk_usd")
        warehouse.execute("DROP TABLE reports.stage_waterfall")
    text = make_report(small, now=lambda: NOW).path.read_text()
    assert 'id="pipeline"' not in text and 'id="clients"' in text
    assert "no such table yet: reports.stage_waterfall, reports.pipeline" in text


def test_without_data_or_client_one_line_says_so(tmp_path: Path, small: Settings) -> None:
    nothing = debitura("report", env={"DEBITURA_DATA_DIR": str(tmp_path / "none")})
    assert nothing.status == 1
    assert "There is no warehouse" in nothing.err and "debitura nightly" in nothing.err
    unknown = debitura("report", "--client", "acme", env={"DEBITURA_DATA_DIR": str(small.data_dir)})
    assert (unknown.status, len(unknown.err.strip().splitlines())) == (1, 1)
    assert "'acme'" in unknown.err


def test_without_a_browser_the_page_is_written_and_the_names_are_told(small: Settings, tmp_path: Path) -> None:
    env = {"DEBITURA_DATA_DIR": str(small.data_dir), "PATH": str(tmp_path)}
    said = debitura("report", "--pdf", env=env)
    assert said.status == 1
    assert all(name in said.err for name in BROWSERS)
    assert len(said.err.strip().splitlines()) == 1
    assert (small.reports_dir / "partner-report.html").exists()


@pytest.mark.slow
def test_pdf_is_printed_private_and_whole(browser: Any, filled: tuple[Settings, ReportFacts], tmp_path: Path) -> None:
    """`browser`: skipped without a Chromium, as the other tests of the picture."""
    path = tmp_path / "partner-report.html"
    shutil.copyfile(filled[1].path, path)
    pdf = print_pdf(path)
    content = pdf.read_bytes()
    assert pdf == tmp_path / "partner-report.pdf"
    assert content.startswith(b"%PDF") and content.rstrip().endswith(b"%%EOF")
    assert content.count(b"/Type /Page\n") >= 8  # with the tables behind the charts
    assert stat.S_IMODE(pdf.stat().st_mode) == 0o600
    assert {file.name for file in tmp_path.iterdir()} == {path.name, pdf.name}


@pytest.mark.slow
def test_slow_browser_is_ended_and_the_old_pdf_stays(
    browser: Any, filled: tuple[Settings, ReportFacts], tmp_path: Path
) -> None:
    path, pdf = tmp_path / "page.html", tmp_path / "page.pdf"
    shutil.copyfile(filled[1].path, path)
    pdf.write_bytes(b"%PDF yesterday")
    with pytest.raises(PdfError, match=r"did not print .* within 0 s"):
        print_pdf(path, timeout_s=0.01)
    assert pdf.read_bytes() == b"%PDF yesterday"
    mark = path.as_uri()
    assert not [process for process in psutil.process_iter() if mark in _command_line(process)]


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_browser_gets_no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A key in its environment could be read by whatever else runs in the browser."""
    from debitura_pipeline.report import pdf

    monkeypatch.setenv("DEBITURA_API_KEY", "a-key-for-tests")
    assert "a-key-for-tests" not in str(pdf._environment(tmp_path))
