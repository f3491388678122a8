"""A warehouse with hand-made report tables, the page made of it, and a Chromium to read the page with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.report import ReportFacts, write_report
from debitura_pipeline.settings import Settings, load_settings
from tests.report.maker import tables
from tests.report.tables import NOW, fill

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def make_settings(folder: Path) -> Settings:
    return load_settings({"DEBITURA_DATA_DIR": str(folder)}, root=folder)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, ReportFacts]:
    """Settings of a full warehouse, and the facts of the page written from it."""
    settings = make_settings(tmp_path_factory.mktemp("filled"))
    assert settings.warehouse.path is not None
    with tables(settings.warehouse.path) as maker:
        fill(maker)
    return settings, write_report(settings, now=lambda: NOW)


@pytest.fixture(scope="package")  # not longer: the driver keeps an event loop running, and others could start none
def browser() -> Iterator[Any]:
    """Headless Chromium that is already on the machine; nothing is downloaded."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no Chromium here (looked for {', '.join(BROWSERS)}); get one with `apt-get install chromium`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()
