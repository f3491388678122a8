"""Write the SQL of every saved query, as MetricFlow compiles it from dbt's semantic manifest.

Runs in `.venv-metrics`, where nothing of this project is installed. Arguments: path of `semantic_manifest.json`, `duckdb` or
`postgres`, folder to write `<saved query>.sql` to.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from metricflow.engine.metricflow_engine import MetricFlowEngine, MetricFlowQueryRequest
from metricflow.protocols.sql_client import SqlEngine
from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer
from metricflow.sql.render.postgres import PostgresSQLSqlPlanRenderer
from metricflow_semantics.model.dbt_manifest_parser import parse_manifest_from_dbt_generated_manifest
from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

RENDERERS = {
    "duckdb": (SqlEngine.DUCKDB, DuckDbSqlPlanRenderer),
    "postgres": (SqlEngine.POSTGRES, PostgresSQLSqlPlanRenderer),
}


class Dialect:
    """What MetricFlow asks of a SQL client while it only compiles."""

    def __init__(self, engine: str) -> None:
        self.sql_engine_type, renderer = RENDERERS[engine]
        self.sql_plan_renderer = renderer()


def compiled(manifest: Path, engine: str) -> dict[str, str]:
    """SQL of each saved query by name. Tables are named by schema alone, so that the file may have any name."""
    document = json.loads(manifest.read_text())
    lookup = SemanticManifestLookup(parse_manifest_from_dbt_generated_manifest(json.dumps(_without_database(document))))
    flow = MetricFlowEngine(lookup, Dialect(engine))
    return {
        query["name"]: flow.explain(MetricFlowQueryRequest.create(saved_query_name=query["name"])).sql_statement.sql
        for query in document["saved_queries"]
    }


def _without_database(document: dict[str, Any]) -> dict[str, Any]:
    spines = document["project_configuration"]["time_spines"]
    for relation in (one["node_relation"] for one in (*document["semantic_models"], *spines)):
        relation.update(database=None, relation_name=f'"{relation["schema_name"]}"."{relation["alias"]}"')
    return document


def main(manifest: str, engine: str, folder: str) -> None:
    """Write one file per saved query."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, sql in compiled(Path(manifest), engine).items():
        (Path(folder) / f"{name}.sql").write_text(sql + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
