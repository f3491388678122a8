"""The dashboards on a Postgres warehouse, with a role that can only read marts and reports."""

from __future__ import annotations

from pathlib import Path

import psycopg

from tests.bi.running import PAGES, show
from tests.bi.world import fill_postgres
from tests.support.postgres import Database

GRANTS = """
    CREATE ROLE dashboards_reader LOGIN PASSWORD 'for tests';
    GRANT USAGE ON SCHEMA marts, reports TO dashboards_reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA marts, reports TO dashboards_reader"""


def test_an_analyst_sees_the_same_figures(postgres: Database, tmp_path: Path) -> None:
    fill_postgres(postgres.url)
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(GRANTS)
    server = postgres.url.rpartition("@")[2]
    env = {"DEBITURA_WAREHOUSE": f"postgresql://dashboards_reader:for%20tests@{server}"}
    cells = {"months": (0, "Paid", "")}
    steps = [{"page": page, "env": env, "cells": cells if page == "revenue" else {}} for page in PAGES]
    shown = dict(zip(PAGES, show(tmp_path, *steps), strict=False))
    assert [one["exceptions"] + one["error"] for one in shown.values()] == [[]] * len(PAGES)
    overview = shown["overview"]
    assert overview["caption"][0].startswith("**As of 2 Mar 2026, 03:00 UTC** · **Simulated data** · Postgres at ")
    assert "dashboards_reader" not in overview["caption"][0]
    assert (overview["metrics"]["Earned and paid"], overview["metrics"]["Awaited"]) == ("121.10 USD", "48.48 USD")
    assert [row["referral_fee_usd"] for row in shown["revenue"]["tables"]["Rows behind Feb 2026, Paid"]] == ["10.0049"]
