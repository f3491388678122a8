"""The pipeline pointed at a test's sandbox, and what its warehouse then holds.

Belongs here: settings for a test, reading tables back. Does not: assertions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.settings import Endpoint, Secret, Settings, load_settings
from debitura_pipeline.sync import SyncReport, sync
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.tables import all_tables, version_columns
from tests.support.prepared import lay_warehouse
from tests.support.sandbox import RunningSandbox

PRIVACY_KEY = "a key for tests only 0123456789"


class Pipeline:
    """Settings on a folder of its own, and the sandbox that they point at."""

    def __init__(self, folder: Path, sandbox: RunningSandbox, **env: str) -> None:
        self.sandbox = sandbox
        self.env = {
            "DEBITURA_API_URL": sandbox.url,
            "DEBITURA_API_KEY": sandbox.key,
            "DEBITURA_CUSTOMER_API_URL": sandbox.customer_url,
            "DEBITURA_DATA_DIR": str(folder),
            "DEBITURA_PRIVACY_KEY": PRIVACY_KEY,
            **env,
        }
        self.settings: Settings = load_settings(self.env)
        self.endpoint = Endpoint(sandbox.url, Secret(sandbox.key), sandbox.customer_url, is_simulated=True)

    def sync(self, *resources: str, **options: Any) -> list[SyncReport]:
        chosen = resources or ("clients", "cases", "transactions")
        lay_warehouse(self.settings)
        return sync(self.settings, self.endpoint, chosen, **options)

    def rows(self, sql: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with open_warehouse(self.settings, read_only=True) as warehouse:
            return warehouse.rows(sql, params)

    def records(self, resource: str, where: str = "_deleted_at IS NULL") -> dict[str, dict[str, Any]]:
        """Live rows of `raw.<resource>` by key, the contract's columns."""
        table = TABLES[resource]
        names, place = ", ".join(f'"{name}"' for name in table.names), table.names.index(table.key)
        found = self.rows(f"SELECT {names} FROM raw.{resource} WHERE {where}")
        records = {row[place]: dict(zip(table.names, row, strict=True)) for row in found}
        assert len(records) == len(found), f"{resource}: a key stands there twice"
        return records

    def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything in `raw`, ids of syncs and times of verification left out, in a fixed order."""
        found = {}
        with open_warehouse(self.settings, read_only=True) as warehouse:
            for resource, table in TABLES.items():
                columns = ", ".join(f'"{name}"' for name in (*table.names, "_row_hash"))
                for name, more in ((resource, "_deleted_at IS NULL"), (f"{resource}_history", "_valid_to IS NULL")):
                    found[name] = sorted(warehouse.rows(f"SELECT {columns}, {more} FROM raw.{name}"), key=repr)
        return found

    def table(self, name: str, *, without: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of `raw.<name>` in a fixed order, every column but those."""
        known = {table: columns for schema, table, columns in all_tables() if schema == "raw"}
        known |= {f"{resource}_history": version_columns(table) for resource, table in TABLES.items()}
        names = ", ".join(f'"{column}"' for column, _ in known[name] if column not in without)
        return sorted(self.rows(f"SELECT {names} FROM raw.{name}"), key=repr)
