"""The settings as the rest of the project sees them: frozen and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from debitura_pipeline.proxies import DIRECT, Network
from debitura_pipeline.secret import Secret
from debitura_pipeline.settings.privacy_key import PRIVACY_KEY_FILE, create_key, read_key
from debitura_pipeline.settings.schedule import DEFAULT_SCHEDULE

PROJECT_ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = "published"  # folder of the data directory

Environment = Literal["sandbox", "test", "production"]
Privacy = Literal["pseudonymous", "full"]


@dataclass(frozen=True)
class WarehouseUrl:
    """Where the warehouse is. `engine` is `duckdb` (then `path`) or `postgresql` (then `dsn`, which holds a password).

    `dbt_dsn`: the same database for dbt's own role, where it has one. `schema_prefix`: before the names of the schemas there.
    """

    engine: Literal["duckdb", "postgresql"]
    path: Path | None = None
    dsn: Secret | None = None
    dbt_dsn: Secret | None = None
    schema_prefix: str = ""

    @property
    def server(self) -> Secret:
        """The database's address. Raises ValueError where the warehouse is a file."""
        if self.dsn is None:
            raise ValueError(f"the warehouse {self.path} is a file")
        return self.dsn

    @property
    def for_dbt(self) -> Secret:
        """The same for dbt's role."""
        return self.dbt_dsn or self.server


@dataclass(frozen=True)
class Endpoint:
    """An API to talk to: where, with which key. `is_simulated`: the sandbox, whose clock is its own."""

    base_url: str
    api_key: Secret
    customer_url: str | None
    is_simulated: bool


@dataclass(frozen=True)
class Concurrency:
    """Requests in flight at once: `start` to begin with, up to `maximum` where answers are slow."""

    start: int
    maximum: int


@dataclass(frozen=True)
class Outbound:
    """What may be sent to Debitura, from which sources. `writes`: any of `clients`, `cases`, `webhooks`."""

    writes: frozenset[str] = frozenset()
    roster: Secret | None = None
    claims: Secret | None = None


@dataclass(frozen=True)
class Webhooks:
    """Secrets (Base64) that deliveries may be signed with, and the age in seconds that a signed timestamp may have."""

    secrets: tuple[Secret, ...] = ()
    tolerance_s: int = 300


@dataclass(frozen=True)
class Alerts:
    """Where incidents are reported, and after how many days a waiting client or claim is one."""

    urls: tuple[Secret, ...] = ()
    heartbeat_url: Secret | None = None
    stuck_days: int = 14


@dataclass(frozen=True)
class WorkQueue:
    """The queue from which workers take runs: the address of Redis, which may hold a password, and the queue's name.

    `first_load_readers`: processes that read the first load of a long listing together, the run's own included.
    """

    broker: Secret
    name: str
    first_load_readers: int = 1


@dataclass(frozen=True)
class SharedStore:
    """Where runs of several machines share their state: `file://` or `s3://` address, without a slash at its end.

    `access_key` and `secret_key`: both or neither; without them the AWS SDK looks for credentials itself.
    """

    url: str
    endpoint: str | None = None
    region: str | None = None
    access_key: Secret | None = None
    secret_key: Secret | None = None
    session_token: Secret | None = None


@dataclass(frozen=True)
class DagsterPlace:
    """Where an instance of Dagster keeps its state: its home, and its database if that is Postgres. `work_queue`: of workers
    that execute its runs, where there are any."""

    home: Path
    database: Secret | None = None
    work_queue: WorkQueue | None = None


@dataclass(frozen=True)
class Settings:
    """All settings, checked. `api_url` is None where the embedded sandbox is to be used.

    `partner`: its name in the partners file; None without one. `schedule`: a cron expression in UTC. `common`: the instance that
    serves all partners, beside the partner's own. `serves`: the partners' names, in the settings of that instance itself.
    `work_queue`: None where Dagster executes runs on its own machine; a partner's own instance always does.
    """

    environment: Environment
    api_url: str | None
    api_key: Secret | None
    customer_api_url: str | None
    warehouse: WarehouseUrl
    data_dir: Path
    privacy: Privacy
    privacy_key: Secret | None = field(repr=False)
    requests_per_minute: int
    concurrency: Concurrency
    refresh_days: int
    outage_minutes: int
    run_retries: int
    keep_run_days: int
    duckdb_memory: str | None
    dagster_home: Path
    dagster_postgres: Secret | None = None
    publishes_csv: bool = False
    network: Network = DIRECT
    partner: str | None = None
    common: DagsterPlace | None = None
    serves: tuple[str, ...] = ()
    schedule: str = DEFAULT_SCHEDULE
    outbound: Outbound = Outbound()
    webhooks: Webhooks = Webhooks()
    alerts: Alerts = Alerts()
    work_queue: WorkQueue | None = None
    shared_store: SharedStore | None = None

    @property
    def uses_embedded_sandbox(self) -> bool:
        return self.api_url is None

    @property
    def label(self) -> str:
        """Partner and environment for titles of messages; production alone is the environment that is not named."""
        if self.partner is None:
            return self.environment
        return self.partner if self.environment == "production" else f"{self.partner}, {self.environment}"

    @property
    def run_queue(self) -> WorkQueue | None:
        """The queue that this partner's runs come from, whichever instance they belong to; None without workers."""
        return self.work_queue or (self.common.work_queue if self.common is not None else None)

    @property
    def landing_dir(self) -> Path:
        return self.data_dir / "landing"

    @property
    def published_dir(self) -> Path:
        return self.data_dir / PUBLISHED

    @property
    def reports_dir(self) -> Path:
        return self.data_dir / "reports"

    def find_privacy_key(self) -> bytes | None:
        """Key of the debtor pseudonyms: the setting, else the data directory's own; None where neither is there.

        Raises SettingsError where the file holds no usable key.
        """
        if self.privacy_key is not None:
            return self.privacy_key.reveal().encode()
        path = self.data_dir / PRIVACY_KEY_FILE
        return read_key(path) if path.exists() else None

    def obtain_privacy_key(self) -> bytes:
        """The same; where there is none, the data directory's own is made, once, with mode 0600."""
        found = self.find_privacy_key()
        return create_key(self.data_dir) if found is None else found
