"""All of dbt's seeds and models in a warehouse of either engine, as the nightly job builds them, without dbt's tests."""

from __future__ import annotations

import os
from pathlib import Path

from debitura_pipeline.orchestration.dbt import incremental_models
from debitura_pipeline.orchestration.manifest import DBT_PROJECT, QUIET, dbt_environment
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.postgres.schema_swap import create_next_schemas, swap_schemas
from tests.support.forks import fork_server
from tests.support.parsed import NEXT_SCHEMAS, PARSED, reuse_parse

DBT = "from dbt.cli.main import cli; cli()"
LIMIT_S = 300
WITHOUT_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")


def build(settings: Settings, target: Path) -> None:
    """Build into the warehouse; `target` is dbt's, kept from one build to the next."""
    warehouse, more = settings.warehouse, list[str]()
    if not (target / PARSED).exists():
        reuse_parse(settings, target)
    if warehouse.dsn is not None:
        create_next_schemas(warehouse, incremental_models())
        more = ["--vars", NEXT_SCHEMAS]
    arguments = ["--quiet", "build", *WITHOUT_TESTS, "--target-path", str(target), "--log-path", str(target), *more]
    env = {**os.environ, **QUIET, **dbt_environment(settings)}
    status, out, err = fork_server().run(DBT, arguments, DBT_PROJECT, env, LIMIT_S)
    assert status == 0, out + err
    if warehouse.dsn is not None:
        swap_schemas(warehouse)
