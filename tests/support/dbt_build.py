"""All of dbt's seeds and models in a warehouse of either engine, as the nightly job builds them, without dbt's tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from debitura_pipeline.orchestration.dbt import incremental_models
from debitura_pipeline.orchestration.manifest import DBT_PROJECT, QUIET, dbt_environment, dbt_executable
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.postgres.schema_swap import create_next_schemas, swap_schemas
from tests.support.parsed import NEXT_SCHEMAS, PARSED, reuse_parse

WITHOUT_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")


def build(settings: Settings, target: Path) -> None:
    """Build into the warehouse; `target` is dbt's, kept from one build to the next."""
    warehouse, more = settings.warehouse, list[str]()
    if not (target / PARSED).exists():
        reuse_parse(settings, target)
    if warehouse.dsn is not None:
        create_next_schemas(warehouse, incremental_models())
        more = ["--vars", NEXT_SCHEMAS]
    subprocess.run(
        [dbt_executable(), "--quiet", "build", *WITHOUT_TESTS, "--target-path", target, "--log-path", target, *more],
        cwd=DBT_PROJECT,
        env={**os.environ, **QUIET, **dbt_environment(settings)},
        check=True,
    )
    if warehouse.dsn is not None:
        swap_schemas(warehouse)
