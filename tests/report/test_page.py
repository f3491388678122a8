"""The page as a file: complete in itself, private, safe to open, whole at every moment, sensible without data."""

from __future__ import annotations

import hashlib
import re
import stat
from base64 import b64encode
from itertools import pairwise
from pathlib import Path

import pytest

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.report import ReportFacts, make_report, write_report
from debitura_pipeline.settings import Settings, load_settings
from tests.report.maker import tables
from tests.report.tables import HOSTILE, NOW, fill


def test_page_refers_to_nothing_outside_itself(filled: tuple[Settings, ReportFacts]) -> None:
    """One address in it, and opening the report tells somebody that it was opened."""
    text = filled[1].path.read_text()
    assert (
        re.findall(r"https?:|\bsrc=|@import|url\((?!#fill)|<script [^>]|xmlns|fetch\(|XMLHttp|WebSocket|beacon", text)
        == []
    )
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; img-src data:" in text


def test_names_from_the_api_cannot_become_markup(filled: tuple[Settings, ReportFacts]) -> None:
    """A company may call itself anything."""
    text = filled[1].path.read_text()
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(" in text


def test_names_from_the_api_turn_no_direction_and_end_no_process(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Holm\\u202e00.12` would show 21.00 where 00.12 stands; at a control letter the chart library aborts."""
    monkeypatch.setattr("tests.report.tables.HOSTILE", "Holm\u202e\u2066\u200f\x07\x1b\ufffe\uffff A/S")
    with tables(_warehouse(settings)) as maker:
        fill(maker, months=3, clients=3, is_whole=False)
    text = write_report(settings, now=lambda: NOW).path.read_text()
    assert "Holm A/S" in text
    assert not set(text) & set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\x07")


def test_debtors_are_nowhere_on_the_page(filled: tuple[Settings, ReportFacts]) -> None:
    """With DEBITURA_PRIVACY=full the warehouse holds their names; the page is passed around."""
    assert "Skyldner" not in filled[1].path.read_text()


def test_file_is_private_and_a_second_writing_changes_no_byte(settings: Settings) -> None:
    with tables(_warehouse(settings)) as maker:
        fill(maker, months=3, clients=3, is_whole=False)
    path = write_report(settings, now=lambda: NOW).path
    before = path.read_bytes()
    assert write_report(settings, now=lambda: NOW).path.read_bytes() == before
    assert path == settings.data_dir / "reports" / "partner-report.html"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_failed_writing_leaves_the_old_page_whole(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in the middle of the file must not cost yesterday's report."""
    with tables(_warehouse(settings)) as maker:
        fill(maker, months=2, clients=2, is_whole=False)
    path = write_report(settings, now=lambda: NOW).path
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("debitura_pipeline.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_report(settings)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_empty_warehouse_gives_a_page_that_says_so(settings: Settings) -> None:
    """The first night of a new partner."""
    with tables(_warehouse(settings)):
        pass
    facts = write_report(settings, now=lambda: NOW)
    text = facts.path.read_text()
    assert facts.figures == {}
    assert "No transactions yet" in text
    assert "Not compared yet" in text
    assert text.count("Not checked yet") >= 2  # nothing was read, so nothing holds
    assert "No findings" not in text
    assert "<svg" not in text


def test_page_after_loading_one_client_finds_nothing_in_order(settings: Settings) -> None:
    """What was loaded of one client says nothing of the others."""
    with tables(_warehouse(settings)) as maker:
        for name in ("clients", "cases", "transactions"):
            maker.insert("ops.syncs", sync_id=name, resource=name, mode="client", status="done", started_at=NOW)
        maker.insert("ops.syncs", sync_id="all", resource="clients", mode="full", status="done", started_at=NOW)
        maker.insert(
            "reports.attribution_by_client", creditor_id="c", cases_total=1, cases_open=1, transactions_total=0
        )
    pages = [write_report(settings, now=lambda: NOW), make_report(settings, "c", now=lambda: NOW)]
    for text in (facts.path.read_text() for facts in pages):
        assert "not checked yet" in text.lower() and "Not read yet" in text
        for claim in ("No fee", "No findings", "seems to be missing", "on its way"):
            assert claim not in text, claim


def test_simulated_data_is_called_so_on_screen_paper_and_in_the_title(tmp_path: Path) -> None:
    """A page of the sandbox that is passed on as it is would be taken for money."""
    texts = {}
    for name, env in (
        ("sandbox", {}),
        ("production", {"DEBITURA_ENVIRONMENT": "production", "DEBITURA_API_KEY": "a-key-for-tests"}),
    ):
        settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / name), **env}, root=tmp_path)
        settings.data_dir.mkdir()
        with tables(_warehouse(settings)) as maker:
            fill(maker, months=3, clients=3, is_whole=False)
            host = "embedded sandbox" if name == "sandbox" else "referral-api.debitura.com"
            maker.insert("ops.identity", environment=name, host=host, privacy_key="0")
        texts[name] = write_report(settings, now=lambda: NOW).path.read_text()
    assert re.search("<title>Simulated data: Partner report", texts["sandbox"])
    assert re.search(r'<p class="simulated" role="note"><strong>Simulated data</strong>', texts["sandbox"])
    assert '@page { @top-center { content: "SIMULATED DATA"' in texts["sandbox"]
    assert "simulated data" not in texts["production"].lower()
    for name, words in (
        ("sandbox", "Sandbox: embedded sandbox"),
        ("production", "Production: referral-api.debitura.com"),
    ):
        assert f"<dt>Environment</dt><dd>{words}</dd>" in texts[name]


def test_missing_report_leaves_only_its_chapter_out(settings: Settings) -> None:
    """A report that is built later, or whose model failed, must not take the page down."""
    with tables(_warehouse(settings)) as maker:
        fill(maker, months=3, clients=3)
        for name in ("attribution_gaps", "payment_calendar", "payout_reconciliation", "revenue_by_month"):
            maker.connection.execute(f"DROP TABLE reports.{name}")
    text = write_report(settings, now=lambda: NOW).path.read_text()
    chapters = re.findall(r'<section id="([a-z]+)"', text)
    assert chapters == ["figures", "changes", "waterfall", "invoice", "partners", "pipeline", "forecast", "revenue", "vintages",
                        "outcomes", "onboarding", "clients", "quality"]  # fmt: skip
    (lacking,) = re.findall("Left out, because this file has no such table yet: (.*)\\.", text)
    assert {"reports.attribution_gaps", "reports.payment_calendar"} <= set(lacking.split(", "))
    assert "This file has no payment calendar yet." in text


def test_no_report_schema_at_all_still_gives_a_page(settings: Settings) -> None:
    """A warehouse that was synced but not yet built by dbt."""
    with tables(_warehouse(settings)) as maker:
        maker.connection.execute("DROP SCHEMA reports CASCADE; DROP SCHEMA marts CASCADE")
    assert "No transactions yet" in write_report(settings).path.read_text()


def test_no_warehouse_is_one_clear_line(settings: Settings) -> None:
    with pytest.raises(WarehouseError, match="There is no warehouse"):
        write_report(settings)


def test_headings_descend_without_a_gap_and_tables_have_headers(filled: tuple[Settings, ReportFacts]) -> None:
    """Screen readers walk by headings and read cells with their headers."""
    text = filled[1].path.read_text()
    levels = [int(level) for level in re.findall(r"<h([1-6])", text)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert '<html lang="en">' in text
    assert re.findall(r"<th(?![ea])(?! scope=)[^>]*>", text) == []
    for tag in re.findall(r"<svg(?![^>]*aria-hidden)[^>]*>", text):
        assert 'role="img"' in tag
        title, description = re.search(r'aria-labelledby="([^ ]+) ([^"]+)"', tag).groups()  # type: ignore[union-attr]
        assert text.count(f'id="{title}"') == text.count(f'id="{description}"') == 1
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def _warehouse(settings: Settings) -> Path:
    assert settings.warehouse.path is not None
    return settings.warehouse.path
