"""Run dbt under Dagster: map dbt nodes to asset keys, and run one `dbt build` process per step.

dbt is a separate process, so none of its connections outlives the step. The asset is in `assets/warehouse.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import dagster as dg
from packaging.version import Version

from debitura_pipeline.orchestration.asset_metadata import asset_metadata, warehouse_kind
from debitura_pipeline.orchestration.children import ends_with_us
from debitura_pipeline.orchestration.keys import OWNERS, PARTNERS
from debitura_pipeline.orchestration.manifest import (
    DBT_PROJECT,
    QUIET,
    dbt_environment,
    obtain_manifest,
    require_dbt,
)
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.postgres.schema_swap import create_next_schemas, swap_schemas
from debitura_pipeline.warehouse.postgres.schemas import NEXT
from debitura_pipeline.warehouse.published_readings import mark_published_readings
from debitura_pipeline.warehouse.run_lock import exclusive_run
from debitura_pipeline.warehouse.tables import SUPERSEDED
from debitura_pipeline.warehouse.write_guard import check_may_write
from debitura_pipeline.without_packages import without_dbt

# dbt itself runs in processes of its own. Importing it here, for types alone, is 40 % of what importing the definitions costs.
with without_dbt():
    from dagster_dbt import (
        DagsterDbtTranslator,
        DagsterDbtTranslatorSettings,
        DbtCliResource,
        DbtProject,
        dbt_assets,
    )
    from dagster_dbt.compat import DBT_PYTHON_VERSION

__all__ = ["NO_CHECKS", "QuietDbt", "Translator", "build", "dbt_assets", "incremental_models"]

# Unit tests are no checks of data. Only dbt's own selection, used where dbt was loaded before this module, takes them for such.
NO_CHECKS = "resource_type:unit_test" if DBT_PYTHON_VERSION is not None else ""

TERMINATION_S = 4.0  # for dbt to cancel its statements after SIGINT

RAW_OF_SOURCE = {"partner_history": "clients"}  # every sync writes it, and that of clients is the first


class Translator(DagsterDbtTranslator):
    """Models are keyed by schema and name. Sources map to the raw assets; a history table belongs to its table's asset."""

    def __init__(self) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """The asset of a dbt node."""
        schema, name = dbt_resource_props["schema"], dbt_resource_props["name"]
        if dbt_resource_props["resource_type"] == "source" and schema == "raw":
            resource = name.removesuffix("_history").removesuffix(SUPERSEDED)
            return dg.AssetKey(["raw", RAW_OF_SOURCE.get(name, resource)])
        return dg.AssetKey([schema, name])

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """The node's spec with the kind and table of the real engine: the manifest is always parsed for DuckDB."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        return spec.replace_attributes(
            kinds={"dbt", warehouse_kind()}, owners=OWNERS, metadata={**spec.metadata, **asset_metadata(spec.key)}
        )

    def get_asset_check_spec(
        self, asset_spec: dg.AssetSpec, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetCheckSpec | None:
        """The check of a dbt test, by partner where there are several."""
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        return spec if spec is None or PARTNERS is None else spec._replace(partitions_def=PARTNERS)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """The schema's name."""
        return str(dbt_resource_props["schema"])


class QuietDbt(DbtCliResource):
    """DbtCliResource without two steps that take seconds.

    The original runs `dbt --version`, which contacts the package index, and opens a dbt adapter for column metadata that is not
    used here.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return Version(installed_version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> None:  # type: ignore[override]
        return None


def build(context: dg.AssetExecutionContext, settings: Settings) -> Iterator[Any]:
    """Run `dbt build` for the selected models and yield its results as Dagster events.

    Unit tests are excluded; `make test` runs them. On Postgres all models are built and tested in separate schemas, which are
    then swapped in at once. Raises ManifestError if dbt is missing, WarehouseError, and dagster-dbt's errors if a model or a test
    of severity error fails.
    """
    database = settings.warehouse
    with exclusive_run(settings, "dbt build"):
        # A warehouse that cannot be opened is reported here; dbt would retry for minutes first.
        with open_warehouse(settings) as warehouse:
            mark_published_readings(warehouse, settings.published_dir)
        if database.dsn is None:
            yield from _run(context, settings, settings.dagster_home / "dbt")
        elif context.is_subset:  # models selected by a user are replaced in place, one by one
            yield from _run(context, settings, settings.dagster_home / "dbt-postgres-parts")
        else:
            create_next_schemas(database, incremental_models())
            beside = ["--vars", json.dumps({"schema_suffix": NEXT})]
            yield from _run(context, settings, settings.dagster_home / "dbt-postgres", beside)
            swap_schemas(database)


def _run(
    context: dg.AssetExecutionContext, settings: Settings, target: Path, more: Sequence[str] = ()
) -> Iterator[Any]:
    check_may_write()
    dbt = QuietDbt(
        project_dir=str(DBT_PROJECT),
        profiles_dir=str(DBT_PROJECT),
        dbt_executable=require_dbt(),
        global_config_flags=["--no-write-json"],  # the project's own manifest is read; writing a second takes a second
    )
    with _environment({**QUIET, **dbt_environment(settings)}):
        invocation = dbt.cli(
            ["build", "--exclude-resource-type", "unit_test", *more], context=context, target_path=target
        )
    with suppress(FileNotFoundError):  # dagster-dbt copies it, with its mode, unless dbt has parsed the project itself
        (target / "partial_parse.msgpack").chmod(0o600)
    invocation.termination_timeout_seconds = TERMINATION_S
    with ends_with_us(invocation.process.pid, first="KILL"):
        yield from _silenced(invocation.stream())


def incremental_models() -> list[tuple[str, str]]:
    """Schema and name of incremental models: a build starts from a copy of them."""
    nodes = json.loads(obtain_manifest().read_text())["nodes"].values()
    return [(node["schema"], node["name"]) for node in nodes if node["config"].get("materialized") == "incremental"]


def _silenced(events: Iterator[Any]) -> Iterator[Any]:
    """Suppress dagster-dbt's copy of dbt's output on standard output; `dbt.log` in the target folder has it too."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        while True:
            with redirect_stdout(nowhere):
                event = next(events, None)
            if event is None:
                return
            yield event


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Add `values` to this process's environment within the block, for a child that is started in it."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
