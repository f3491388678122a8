"""What the dbt project says of its models: all of it described, in one file per model, and in the catalogue that readers see."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.orchestration.manifest import obtain_manifest
from debitura_pipeline.warehouse.exports import REPORTS_FILE, export_marts
from debitura_pipeline.warehouse.published_folder import WAREHOUSE
from debitura_pipeline.warehouse.tables import all_tables, version_columns
from tests.dbt.worlds import PROJECT, World
from tests.support.catalogue import described, duckdb_comments, manifest_nodes, one_line

SHORTEST_TABLE, SHORTEST_COLUMN = 40, 15
BUILT = ("staging", "marts", "reports")


def test_every_table_and_column_is_described() -> None:
    """A reader in a BI tool has nothing but the name and this text."""
    for (schema, table, column), text in described().items():
        assert text, (schema, table, column)
        assert len(text) >= (SHORTEST_COLUMN if column else SHORTEST_TABLE), (schema, table, column, text)
        assert text.endswith((".", ")", "`")), (schema, table, column, text)
        assert column or text.startswith(("One row per ", "A single row")), (schema, table, text)


def test_every_model_has_a_file_of_its_own() -> None:
    for node in manifest_nodes():
        if node["resource_type"] == "model":
            assert node["patch_path"] == f"debitura://{Path(node['original_file_path']).with_suffix('.yml')}"


def test_sources_are_the_tables_that_the_pipeline_writes() -> None:
    written = {(schema, name): [column for column, _ in columns] for schema, name, columns in all_tables()}
    for resource, table in TABLES.items():
        written["raw", f"{resource}_history"] = [column for column, _ in version_columns(table)]
    sources = [node for node in manifest_nodes() if node["resource_type"] == "source"]
    assert {(node["schema"], node["name"]): list(node["columns"]) for node in sources} == written


def test_freshness_is_asked_of_the_current_rows_and_of_the_syncs() -> None:
    sources = [node for node in manifest_nodes() if node["resource_type"] == "source"]
    asked = {
        node["name"]: node["loaded_at_field"] for node in sources if ((node["freshness"] or {}).get("warn_after") or {}).get("count")
    }
    assert asked == {**dict.fromkeys(TABLES, "_verified_at"), "syncs": "finished_at"}


def test_exposures_name_what_their_readers_read() -> None:
    exposures = json.loads(obtain_manifest().read_text())["exposures"]
    reads = {node["name"]: {unique.split(".")[-1] for unique in node["depends_on"]["nodes"]} for node in exposures.values()}
    published = {node["name"] for node in manifest_nodes() if node["schema"] in ("marts", "reports")}
    assert reads["published_files"] == reads["bi_dashboards"] == published
    text = "".join(path.read_text() for path in (PROJECT.parent / "debitura_pipeline/report").glob("*.py"))
    assert reads["partner_report"] == {name for name in published if f'"{name}' in text or f".{name}" in text}
    pages = "".join(path.read_text() for path in (PROJECT.parent / "bi").rglob("*.py"))
    assert reads["dashboards"] == {name for name in published if f"marts.{name}" in pages or f"reports.{name}" in pages}


@pytest.mark.parametrize("path", sorted(PROJECT.glob("seeds/*.csv")), ids=lambda path: path.stem)
def test_keys_of_a_seed_are_unique_and_its_columns_described(path: Path) -> None:
    """A key that stands twice would double the rows of a report."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    key = 2 if "revenue_stage" in header[1:] else 1  # what to do about a finding may depend on the stage
    assert Counter(tuple(row[:key]) for row in rows).most_common(1)[0][1] == 1
    assert all(len(row) == len(header) for row in rows)
    node = next(node for node in manifest_nodes() if node["name"] == path.stem)
    assert list(node["columns"]) == header


def test_import_ctes_come_first() -> None:
    """As in dbt Labs' style: what a model reads is seen at its top, and each relation is named once."""
    for path in PROJECT.glob("models/[imr]*/*.sql"):
        ctes = path.read_text().split("\n),\n")
        reading = [number for number, cte in enumerate(ctes) if "ref('" in cte or "source('" in cte]
        assert reading == list(range(len(reading))), path.name


def test_published_files_carry_the_descriptions(empty: World, tmp_path: Path) -> None:
    (tmp_path / WAREHOUSE).write_bytes(empty.path.read_bytes())
    export_marts(tmp_path)
    wanted = {place: text for place, text in described().items() if place[0] in BUILT}
    found = duckdb_comments(empty.path)
    assert {place: text for place, text in found.items() if place[0] in BUILT} == wanted
    marts = {place: text for place, text in wanted.items() if place[0] != "staging"}
    assert duckdb_comments(tmp_path / REPORTS_FILE) == marts
    assert len(marts) > 250
    assert all(text == one_line(text or "") for text in marts.values())
