"""Environment -> one checked `Settings`: single values by their declarations, then what settings must have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.proxies import PORTS, Network, read_network
from debitura_pipeline.secret import Secret
from debitura_pipeline.settings import declared
from debitura_pipeline.settings.addresses import API_HOSTS, CUSTOMER_HOSTS, is_remote
from debitura_pipeline.settings.declaration import Setting, Values, wrong
from debitura_pipeline.settings.environment import read_environment
from debitura_pipeline.settings.model import (
    PROJECT_ROOT,
    PUBLISHED,
    Alerts,
    Concurrency,
    DagsterPlace,
    Environment,
    Outbound,
    Privacy,
    Settings,
    SharedStore,
    WarehouseUrl,
    Webhooks,
    WorkQueue,
)
from debitura_pipeline.settings.partner_choice import NO_PARTNERS, chosen_name, forget, open_partners
from debitura_pipeline.settings.partner_values import base_folder, whole_values
from debitura_pipeline.settings.partners_file import PartnersFile, find_partners
from debitura_pipeline.settings.privacy_key import PRIVACY_KEY_FILE, read_key
from debitura_pipeline.settings.readers import whole
from debitura_pipeline.settings.url_readers import FILE

API_PER_MINUTE = 2_000  # what the API grants a key; its hour is ten and its day fifty such minutes
# Where no number is set: as many as it takes to ask 1,800 times a minute at 850 ms an answer.
MOST_IN_FLIGHT = 32


def load_settings(env: Mapping[str, str] | None = None, root: Path = PROJECT_ROOT) -> Settings:
    """Settings from `env` (default: the process's environment over the `.env` file at `root`).

    With a partners file, those of the partner that DEBITURA_PARTNER names; variables that other partners' tables name are then
    removed from the process's environment. Relative paths are taken from `root`. Raises SettingsError with one line naming
    the variable, the fault and an example; nothing has been touched then.
    """
    given = read_environment(root) if env is None else env
    partners = find_partners(given, root)
    if partners is None:
        if given.get(declared.PARTNER.name):
            raise SettingsError(NO_PARTNERS, variable=declared.PARTNERS.name)
        return _settings(Values(given, root))
    name = chosen_name(partners, given)
    if env is None:
        forget(partners.foreign_variables(name))
    return load_partner(partners, name, given)


def load_partner(partners: PartnersFile, name: str, given: Mapping[str, str]) -> Settings:
    """The settings of one partner; `given`: the shared ones, and the variables that its table names. Raises SettingsError."""
    values = Values(whole_values(partners, name, given), partners.root)
    try:
        own = _settings(values)
        return replace(own, partner=name, common=_common_place(partners, given, own))
    except SettingsError as error:
        raise partners.table(name).in_its_words(error, given) from None


def load_common(root: Path = PROJECT_ROOT) -> Settings:
    """The settings of the Dagster instance that serves all partners: folders and storage, no partner's key or warehouse.

    Its folder is DEBITURA_DATA_DIR, in which the partners' data directories are. Raises SettingsError.
    """
    partners, given = open_partners(root)
    place = _common_place(partners, given)
    shared = {setting.name: given.get(setting.name) for setting in (declared.KEEP_RUN_DAYS, declared.RUN_RETRIES)}
    values = Values({**shared, declared.DATA_DIR.name: str(base_folder(partners, given))}, partners.root)
    return replace(
        _settings(values),
        dagster_home=place.home,
        dagster_postgres=place.database,
        serves=tuple(partners.tables),
        work_queue=place.work_queue,
    )


def load_work_queue(root: Path = PROJECT_ROOT) -> WorkQueue | None:
    """The queue of the workers; None where there is none. Reads no other setting. Raises SettingsError."""
    return _work_queue(Values(read_environment(root), root))


def _work_queue(values: Values) -> WorkQueue | None:
    broker = values.optional(declared.CELERY_BROKER)
    if broker is None:
        return None
    return WorkQueue(broker, values.one(declared.CELERY_QUEUE), values.one(declared.FIRST_LOAD_READERS))


def _common_place(partners: PartnersFile, given: Mapping[str, str], own: Settings | None = None) -> DagsterPlace:
    """DAGSTER_HOME and DAGSTER_POSTGRES_URL from outside of the partners file mean this instance, except in processes of a
    partner's own `debitura dev`, where they name the partner's (`own`)."""
    queue = (declared.CELERY_BROKER, declared.CELERY_QUEUE, declared.FIRST_LOAD_READERS)
    names = [setting.name for setting in (declared.DAGSTER_HOME, declared.DAGSTER_POSTGRES_URL, *queue)]
    values = Values({name: given.get(name) for name in names}, partners.root)
    home, database = values.optional(declared.DAGSTER_HOME), values.optional(declared.DAGSTER_POSTGRES_URL)
    if home is None or (own is not None and home == own.dagster_home):
        home = base_folder(partners, given) / "dagster"
    is_own = own is not None and database == own.dagster_postgres
    return DagsterPlace(home, None if is_own else database, _work_queue(values))


def _settings(values: Values) -> Settings:
    environment = cast(Environment, values.one(declared.ENVIRONMENT))
    own_url, customer_url = values.optional(declared.API_URL), values.optional(declared.CUSTOMER_API_URL)
    key = values.optional(declared.API_KEY)
    _check_key(key, own_url, environment)
    api_url = own_url or API_HOSTS.get(environment)
    customer_url = customer_url or (CUSTOMER_HOSTS.get(environment) if own_url is None else None)
    data_dir = values.one(declared.DATA_DIR)
    _refuse_unusable(data_dir, declared.DATA_DIR)
    privacy_key = _privacy_key(values, data_dir)
    return Settings(
        environment=environment,
        api_url=api_url,
        api_key=_secret(key),
        customer_api_url=customer_url,
        warehouse=_warehouse(values, data_dir),
        data_dir=data_dir,
        privacy=cast(Privacy, values.one(declared.PRIVACY)),
        privacy_key=_secret(privacy_key),
        requests_per_minute=_per_minute(values, api_url),
        concurrency=_concurrency(values),
        refresh_days=values.one(declared.REFRESH_DAYS),
        dagster_home=values.optional(declared.DAGSTER_HOME) or _default_home(data_dir),
        dagster_postgres=values.optional(declared.DAGSTER_POSTGRES_URL),
        network=_network(values, api_url, customer_url),
        schedule=values.one(declared.SCHEDULE),
        outage_minutes=values.one(declared.OUTAGE_MINUTES),
        run_retries=values.one(declared.RUN_RETRIES),
        keep_run_days=values.one(declared.KEEP_RUN_DAYS),
        duckdb_memory=values.optional(declared.DUCKDB_MEMORY),
        publishes_csv=values.one(declared.PUBLISH_CSV),
        outbound=Outbound(
            values.one(declared.WRITES), values.optional(declared.ROSTER), values.optional(declared.CLAIMS)
        ),
        webhooks=Webhooks(values.optional(declared.WEBHOOK_SECRETS) or (), values.one(declared.WEBHOOK_TOLERANCE)),
        alerts=Alerts(
            values.optional(declared.ALERTS) or (),
            values.optional(declared.HEARTBEAT_URL),
            values.one(declared.STUCK_DAYS),
        ),
        work_queue=_work_queue(values),
        shared_store=_shared_store(values, data_dir),
    )


def _shared_store(values: Values, data_dir: Path) -> SharedStore | None:
    """Raises SettingsError for half of a pair of keys, or a folder inside of the data directory."""
    url = values.optional(declared.SHARED_STORE)
    if url is None:
        return None
    if url.startswith(FILE) and Path(url.removeprefix(FILE)).is_relative_to(data_dir.resolve()):
        raise wrong(
            declared.SHARED_STORE.name, "is in the data directory, which it is a copy of", "file:///srv/debitura"
        )
    access, secret = values.optional(declared.AWS_ACCESS_KEY_ID), values.optional(declared.AWS_SECRET_ACCESS_KEY)
    if (access is None) != (secret is None):
        missing = declared.AWS_ACCESS_KEY_ID if access is None else declared.AWS_SECRET_ACCESS_KEY
        raise wrong(missing.name, "is not set, but the other one of the pair is", "the key of the shared store")
    return SharedStore(
        url,
        endpoint=values.optional(declared.AWS_ENDPOINT_URL),
        region=values.optional(declared.AWS_REGION),
        access_key=_secret(access),
        secret_key=_secret(secret),
        session_token=_secret(values.optional(declared.AWS_SESSION_TOKEN)),
    )


def _check_key(key: str | None, own_url: str | None, environment: Environment) -> None:
    """A key is needed by every API but the embedded sandbox, and is not meant for that one."""
    if key is None and (own_url is not None or environment != "sandbox"):
        why = "an API address is set" if own_url is not None else f"the environment is {environment}"
        raise wrong(declared.API_KEY.name, f"is needed, since {why}", "the XApiKey that Debitura issued")
    if key is not None and own_url is None and environment == "sandbox":
        raise SettingsError(
            "DEBITURA_API_KEY is set and DEBITURA_ENVIRONMENT is sandbox, whose data is simulated. Unset the key, or set "
            "the environment that it is for. Example: DEBITURA_ENVIRONMENT=production",
            variable=declared.ENVIRONMENT.name,
        )


def _secret(text: str | None) -> Secret | None:
    return None if text is None else Secret(text)


def _privacy_key(values: Values, data_dir: Path) -> str | None:
    """The key that is set. The data directory's own is only checked: nothing is made before it is needed."""
    found = values.optional(declared.PRIVACY_KEY)
    if found is None and (data_dir / PRIVACY_KEY_FILE).exists():
        read_key(data_dir / PRIVACY_KEY_FILE)
    return found


def _warehouse(values: Values, data_dir: Path) -> WarehouseUrl:
    place, dbt_dsn = values.optional(declared.WAREHOUSE), values.optional(declared.DBT_URL)
    prefix = values.optional(declared.SCHEMA_PREFIX)
    if isinstance(place, Secret):
        return WarehouseUrl("postgresql", dsn=place, dbt_dsn=dbt_dsn, schema_prefix=prefix or "")
    for setting, value in ((declared.DBT_URL, dbt_dsn), (declared.SCHEMA_PREFIX, prefix)):
        if value is not None:
            raise _needs_postgres(setting)
    if place is not None:
        _refuse_unusable(place, declared.WAREHOUSE)
        refuse_published(place, data_dir, declared.WAREHOUSE.name)
    return WarehouseUrl("duckdb", path=place or data_dir / "warehouse.duckdb")


def _refuse_unusable(path: Path, setting: Setting[Any]) -> None:
    """With a `?` in a path, DuckDB writes its log beside another file; and it takes paths as UTF-8."""
    place = str(path.absolute())
    if "?" in place:
        raise wrong(setting.name, f"is {place}, and DuckDB cannot use a path with a `?`", setting.example)
    if place != place.encode("utf-8", "ignore").decode():
        raise wrong(
            setting.name, "is not UTF-8 in the locale of this process (LC_ALL=C.UTF-8 makes it so)", setting.example
        )


def refuse_published(warehouse: Path, data_dir: Path, name: str) -> None:
    """A published copy is replaced every night. `name`: of the setting or option. Raises SettingsError."""
    if warehouse.resolve().is_relative_to((data_dir / PUBLISHED).resolve()):
        raise SettingsError(
            f"{name} is in {data_dir / PUBLISHED}, whose files are replaced every night. Example: "
            f"{declared.WAREHOUSE.examples[0]}",
            variable=name,
        )


def _needs_postgres(setting: Setting[Secret] | Setting[str]) -> SettingsError:
    return wrong(
        setting.name,
        "is set, but the warehouse is not Postgres; unset it or set DEBITURA_WAREHOUSE",
        setting.examples[0],
    )


def _per_minute(values: Values, api_url: str | None) -> int:
    """Within the API's own limit; a simulated API on this machine may have another."""
    setting = declared.REQUESTS_PER_MINUTE
    return values.one(replace(setting, reader=whole(1, API_PER_MINUTE)) if is_remote(api_url) else setting)


def _concurrency(values: Values) -> Concurrency:
    """A number that is set is never exceeded; the default grows where answers are slow."""
    chosen = values.optional(declared.CONCURRENCY)
    if chosen is not None:
        return Concurrency(chosen, chosen)
    return Concurrency(values.one(declared.CONCURRENCY), MOST_IN_FLIGHT)


def _default_home(data_dir: Path) -> Path:
    """Dagster's home in the data directory. Raises SettingsError where that is a file."""
    home = data_dir / "dagster"
    if home.exists() and not home.is_dir():
        setting = declared.DAGSTER_HOME
        raise wrong(setting.name, f"is {home}, which is a file, not a folder", setting.example)
    return home


def _network(values: Values, *urls: str | None) -> Network:
    """How the hosts of `urls` are reached."""
    parts = [urlsplit(url) for url in urls if url is not None]
    hosts = [(part.hostname or "", part.port or PORTS[part.scheme]) for part in parts]
    return read_network(values.texts, hosts, values.optional(declared.CA_FILE))
