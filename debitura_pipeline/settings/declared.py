"""The settings, each declared once. `catalogue.py` adds the variables that are not settings of this project.

`load.py` reads the values, `environment.py` refuses unknown names, `python -m tools.settings` writes `.env.example` and
`docs/settings.md`, and `make lint` compares the declarations with what the code reads.
"""

from __future__ import annotations

from debitura_pipeline.settings.addresses import API_HOSTS, CUSTOMER_HOSTS
from debitura_pipeline.settings.declaration import Setting
from debitura_pipeline.settings.outbound_readers import ALERT_URLS, HEARTBEAT, SECRETS, SOURCE, WRITABLE
from debitura_pipeline.settings.partner_names import PARTNER_NAME
from debitura_pipeline.settings.privacy_key import PRIVACY_KEY_TEXT
from debitura_pipeline.settings.readers import API_KEY as KEY
from debitura_pipeline.settings.readers import (
    CERTIFICATES,
    FOLDER,
    MEMORY,
    QUEUE_NAME,
    TOML_FILE,
    YES_OR_NO,
    choice,
    text,
    whole,
)
from debitura_pipeline.settings.schedule import DAILY, DEFAULT_SCHEDULE
from debitura_pipeline.settings.url_readers import (
    ENDPOINT_URL,
    HTTP_URL,
    POSTGRES_URL,
    REDIS_URL,
    STORE_URL,
    WAREHOUSE_URL,
)
from debitura_pipeline.settings.url_readers import SCHEMA_PREFIX as PREFIX

API, WAREHOUSES, DATA, RUNS, NETWORK = "API", "Warehouse", "Data and privacy", "Requests and runs", "Network"
OUTBOUND, WEBHOOKS, ALERTING = "Clients and claims to send", "Webhooks", "Alerts"
WORKERS, SEVERAL, STORE = "Workers", "Several partners", "Shared store"

# --- API
ENVIRONMENT = Setting(
    "DEBITURA_ENVIRONMENT",
    API,
    "Which API to read: sandbox is the simulated one, which needs no network; test and production are Debitura's.",
    choice("sandbox", "test", "production"),
    default="sandbox",
)
API_KEY = Setting(
    "DEBITURA_API_KEY",
    API,
    "The XApiKey that Debitura issued; needed everywhere except in the sandbox.",
    KEY,
    is_secret=True,
    scope="own",
)
API_URL = Setting(
    "DEBITURA_API_URL",
    API,
    "Base address of another API; the key is then needed in every environment.",
    HTTP_URL,
    otherwise="the environment's own",
    examples=(API_HOSTS["test"],),
)
CUSTOMER_API_URL = Setting(
    "DEBITURA_CUSTOMER_API_URL",
    API,
    "Base address of the Customer API, where the clients' access is tested.",
    HTTP_URL,
    otherwise="the environment's own; none with `DEBITURA_API_URL`",
    examples=(CUSTOMER_HOSTS["test"],),
)

# --- Warehouse
WAREHOUSE = Setting(
    "DEBITURA_WAREHOUSE",
    WAREHOUSES,
    "Where the warehouse is: a DuckDB file (three slashes before a relative path, four before an absolute one) or a Postgres "
    "database.",
    WAREHOUSE_URL,
    otherwise="`warehouse.duckdb` in the data directory",
    examples=("duckdb:///data/warehouse.duckdb", "postgresql://user:password@host:5432/db"),
    is_secret=True,
    is_address=True,
    scope="own",
)
DBT_URL = Setting(
    "DEBITURA_DBT_URL",
    WAREHOUSES,
    "Postgres only: the same database for dbt's role; needed once the roles of `debitura doctor --grant-sql` are used.",
    POSTGRES_URL,
    otherwise="the role of `DEBITURA_WAREHOUSE`",
    examples=("postgresql://debitura_dbt:password@host:5432/db?sslmode=verify-full",),
    is_secret=True,
    is_address=True,
    scope="own",
)
SCHEMA_PREFIX = Setting(
    "DEBITURA_SCHEMA_PREFIX",
    WAREHOUSES,
    "Postgres only: prefix of the names of the five schemas, for a database shared with others.",
    PREFIX,
    otherwise="no prefix",
    examples=("deb_",),
    scope="own",
)
DUCKDB_MEMORY = Setting(
    "DEBITURA_DUCKDB_MEMORY",
    WAREHOUSES,
    "Memory that DuckDB may use while dbt builds, and that `debitura query` may.",
    MEMORY,
    otherwise="for dbt an eighth of the memory, from 400MiB to 2GiB; for a query 400MiB",
    examples=("400MiB",),
)
DAGSTER_POSTGRES_URL = Setting(
    "DAGSTER_POSTGRES_URL",
    WAREHOUSES,
    "Postgres database in which Dagster keeps its runs and events.",
    POSTGRES_URL,
    otherwise="files in Dagster's home",
    examples=("postgresql://user:password@host:5432/dagster?sslmode=verify-full",),
    is_secret=True,
    is_address=True,
    scope="own",
)

# --- Data and privacy
DATA_DIR = Setting(
    "DEBITURA_DATA_DIR",
    DATA,
    "Folder of the landing zone, the published files, the reports and the logs.",
    FOLDER,
    default="data",
)
DAGSTER_HOME = Setting(
    "DAGSTER_HOME",
    DATA,
    "Folder of Dagster's instance.",
    FOLDER,
    otherwise="`dagster` in the data directory",
    examples=("data/dagster",),
    scope="own",
)
PUBLISH_CSV = Setting(
    "DEBITURA_PUBLISH_CSV",
    DATA,
    "Whether each mart and report is also published as a CSV file.",
    YES_OR_NO,
    default="no",
)
PRIVACY = Setting(
    "DEBITURA_PRIVACY",
    DATA,
    "Whether debtors' names are replaced by pseudonyms (pseudonymous) or kept (full).",
    choice("pseudonymous", "full"),
    default="pseudonymous",
)
PRIVACY_KEY = Setting(
    "DEBITURA_PRIVACY_KEY",
    DATA,
    "Key of the pseudonyms. With another key, the same debtor gets another pseudonym.",
    PRIVACY_KEY_TEXT,
    otherwise="made once, as `privacy.key` in the data directory",
    is_secret=True,
    scope="own",
)

# --- Shared store
SHARED_STORE = Setting(
    "DEBITURA_SHARED_STORE",
    STORE,
    "Bucket and prefix, or folder, to which landing zone, certificates, published files and reports are copied, so that a run "
    "may start on any machine.",
    STORE_URL,
    otherwise="everything stays in the data directory",
    examples=("s3://bucket/debitura",),
    scope="own",
)
AWS_ACCESS_KEY_ID = Setting(
    "AWS_ACCESS_KEY_ID",
    STORE,
    "Access key of the shared store.",
    text("text"),
    otherwise="what the AWS SDK finds: a profile, the role of the machine",
    is_secret=True,
)
AWS_SECRET_ACCESS_KEY = Setting(
    "AWS_SECRET_ACCESS_KEY", STORE, "Secret that belongs to the access key.", text("text"), is_secret=True
)
AWS_SESSION_TOKEN = Setting(
    "AWS_SESSION_TOKEN", STORE, "Session token, if the access key is a temporary one.", text("text"), is_secret=True
)
AWS_REGION = Setting(
    "AWS_REGION",
    STORE,
    "Region of the bucket.",
    text("a region's name"),
    otherwise="that of the profile, else `us-east-1`",
    examples=("eu-central-1",),
)
AWS_ENDPOINT_URL = Setting(
    "AWS_ENDPOINT_URL",
    STORE,
    "Address of an S3 server that is not Amazon's.",
    ENDPOINT_URL,
    otherwise="Amazon's own for the region",
    examples=("https://s3.example.com",),
)

# --- Requests and runs
REQUESTS_PER_MINUTE = Setting(
    "DEBITURA_REQUESTS_PER_MINUTE",
    RUNS,
    "Requests a minute at most. The API allows 2,000 a minute; its hourly and daily limits are respected as well.",
    whole(1, 1_000_000, "1 to 2000; up to 1000000 for an API on this machine"),
    default="1800",
)
CONCURRENCY = Setting(
    "DEBITURA_CONCURRENCY",
    RUNS,
    "Requests in flight at most. If it is not set, up to 32 if latency is high.",
    whole(1, 64),
    default="8",
)
REFRESH_DAYS = Setting(
    "DEBITURA_REFRESH_DAYS",
    RUNS,
    "Every closed case and every settled transaction is read again at least once in this many days.",
    whole(1, 3650),
    default="30",
)
OUTAGE_MINUTES = Setting(
    "DEBITURA_OUTAGE_MINUTES",
    RUNS,
    "How long a nightly run waits for an API that does not answer, in minutes; 0 does not wait.",
    whole(0, 720),
    default="30",
)
SCHEDULE = Setting(
    "DEBITURA_SCHEDULE",
    RUNS,
    "When the daemon starts the nightly run: a cron expression in UTC, every day at one or more times.",
    DAILY,
    default=DEFAULT_SCHEDULE,
)
RUN_RETRIES = Setting(
    "DEBITURA_RUN_RETRIES",
    RUNS,
    "How many times the daemon retries a scheduled nightly run that failed.",
    whole(0, 10),
    default="3",
)
KEEP_RUN_DAYS = Setting(
    "DEBITURA_KEEP_RUN_DAYS",
    RUNS,
    "Days after which Dagster's runs and their event logs are deleted; 0 keeps them.",
    whole(0, 36_500),
    default="90",
)

# --- Network
PROXY = Setting(
    "DEBITURA_PROXY",
    NETWORK,
    "HTTP proxy for the API. Characters like @ : / % in a password are written as %40 %3A %2F %25.",
    text("an http:// or https:// address"),
    otherwise="`HTTPS_PROXY`, then `ALL_PROXY`",
    examples=("http://user:password@proxy.example.com:3128",),
    is_secret=True,
    is_address=True,
)
CA_FILE = Setting(
    "DEBITURA_CA_FILE",
    NETWORK,
    "Certificate authorities to trust in addition to the usual ones.",
    CERTIFICATES,
    examples=("/etc/ssl/certs/company-ca.pem",),
)

# --- Clients and claims to send
WRITES = Setting(
    "DEBITURA_WRITES",
    OUTBOUND,
    "What may be written to Debitura: clients are registered, cases submitted, webhook subscriptions changed.",
    WRITABLE,
    default="none",
    examples=("clients,cases",),
)
ROSTER = Setting(
    "DEBITURA_ROSTER",
    OUTBOUND,
    "The clients to register: a file, a glob of files, or a table or view of a Postgres database.",
    SOURCE,
    examples=("roster.csv", "postgresql://user:password@host:5432/crm?table=public.clients"),
    is_secret=True,
    is_address=True,
    scope="own",
)
CLAIMS = Setting(
    "DEBITURA_CLAIMS",
    OUTBOUND,
    "The claims to submit: a file, a glob of files, or a table or view of a Postgres database.",
    SOURCE,
    examples=("claims/*.parquet", "postgresql://user:password@host:5432/erp?table=public.overdue"),
    is_secret=True,
    is_address=True,
    scope="own",
)

# --- Webhooks
WEBHOOK_SECRETS = Setting(
    "DEBITURA_WEBHOOK_SECRETS",
    WEBHOOKS,
    "Signing secrets of the webhook subscriptions; two while a secret is replaced.",
    SECRETS,
    examples=("d2hzZWMtZXhhbXBsZS1vbmx5LTAwMDE=",),
    is_secret=True,
    scope="own",
)
WEBHOOK_TOLERANCE = Setting(
    "DEBITURA_WEBHOOK_TOLERANCE",
    WEBHOOKS,
    "Seconds that the signed timestamp of a delivery may be old.",
    whole(1, 86_400),
    default="300",
)

# --- Alerts
ALERTS = Setting(
    "DEBITURA_ALERTS",
    ALERTING,
    "Where incidents are reported: Apprise URLs, comma-separated.",
    ALERT_URLS,
    examples=("slack://token_a/token_b/token_c/#ops", "mailto://user:password@example.com"),
    is_secret=True,
)
HEARTBEAT_URL = Setting(
    "DEBITURA_HEARTBEAT_URL",
    ALERTING,
    "Requested after each good nightly run, and with /fail appended after a bad one.",
    HEARTBEAT,
    examples=("https://example.com/ping/0000",),
    is_secret=True,
    scope="own",
)
STUCK_DAYS = Setting(
    "DEBITURA_STUCK_DAYS",
    ALERTING,
    "A client or claim that waits for more days than this becomes an incident.",
    whole(1, 3650),
    default="14",
)

# --- Workers
CELERY_BROKER = Setting(
    "DEBITURA_CELERY_BROKER",
    WORKERS,
    "Redis server that keeps the queue from which workers take Dagster's runs; see the guide to workers.",
    REDIS_URL,
    otherwise="the daemon starts a process for each run on its own machine",
    examples=("rediss://:password@host:6379/0",),
    is_secret=True,
    is_address=True,
    scope="process",
)
CELERY_QUEUE = Setting(
    "DEBITURA_CELERY_QUEUE",
    WORKERS,
    "Name of that queue; a run with the tag debitura/queue goes to the queue that the tag names.",
    QUEUE_NAME,
    default="debitura",
    scope="process",
)

FIRST_LOAD_READERS = Setting(
    "DEBITURA_FIRST_LOAD_READERS",
    WORKERS,
    "Processes that together read a long listing that is loaded for the first time: the run itself and workers of its queue. "
    "With 1, the run reads alone.",
    whole(1, 32),
    default="1",
    scope="process",
)

# --- Several partners
PARTNERS = Setting(
    "DEBITURA_PARTNERS",
    SEVERAL,
    "TOML file with a table per partner; see the guide to several partners.",
    TOML_FILE,
    otherwise="one partner, described by the other settings",
    examples=("partners.toml",),
    scope="process",
)
PARTNER = Setting(
    "DEBITURA_PARTNER",
    SEVERAL,
    "The partner whose table is used where `debitura --partner` is not given; needs a partners file.",
    PARTNER_NAME,
    examples=("acme",),
    scope="process",
)
