"""Every environment variable that the pipeline, its dbt project, its simulated API or its deployment reads."""

from __future__ import annotations

from typing import Any

from debitura_pipeline.settings import declared
from debitura_pipeline.settings.declaration import Setting
from debitura_pipeline.settings.readers import text

STANDARD, INTERNAL = "Standard variables", "Internal variables"


def _standard(name: str, about: str, read_by: str = "") -> Setting[str]:
    return Setting(name, STANDARD, about, text("text"), read_by=read_by)


def _internal(name: str, about: str, read_by: str = "", *, is_secret: bool = False) -> Setting[str]:
    return Setting(name, INTERNAL, about, text("text"), is_internal=True, read_by=read_by, is_secret=is_secret)


_STANDARD = (
    _standard("HTTPS_PROXY", "Proxy for https addresses, unless `DEBITURA_PROXY` is set; also in lower case."),
    _standard("ALL_PROXY", "Proxy for everything, unless one of those above is set; also in lower case."),
    _standard("NO_PROXY", "Hosts, suffixes and networks that are reached directly; also in lower case."),
    _standard("PGHOST", "Postgres's host, where the address names none."),
    _standard("PGPORT", "Postgres's port, where the address names none."),
    _standard("COLUMNS", "Width of the output, where it is not a terminal."),
    _standard("TMPDIR", "Folder of temporary files.", "Python"),
    _standard("AWS_PROFILE", "Profile with the shared store's access key and region.", "the AWS SDK"),
    _standard("SSL_CERT_FILE", "Certificate authorities to use in place of the system's.", "OpenSSL"),
)
_INTERNAL = (
    _internal("DEBITURA_DBT_TARGET", "The target in `dbt/profiles.yml`: `duckdb` or `postgres`."),
    _internal("DEBITURA_DBT_KEEP_OPEN", "Whether dbt keeps its DuckDB connection open between models."),
    _internal("DEBITURA_DUCKDB_PATH", "The DuckDB file that dbt builds in."),
    _internal("DEBITURA_POSTGRES_HOST", "The Postgres host that dbt connects to."),
    _internal("DEBITURA_POSTGRES_PORT", "The port there."),
    _internal("DEBITURA_POSTGRES_DATABASE", "The database there."),
    _internal("DEBITURA_POSTGRES_USER", "dbt's user there."),
    _internal("DEBITURA_POSTGRES_PASSWORD", "The password of that user.", is_secret=True),
    _internal(
        "DEBITURA_SANDBOX_KEY", "The key that the simulated API accepts when it runs as a server.", is_secret=True
    ),
    _internal(
        "DEBITURA_SECRETS_SOCKET", "Where `debitura dev` hands a partner's variables to the process that works for it."
    ),
    _internal("DAGSTER_DISABLE_TELEMETRY", "Keeps Dagster from sending usage data.", "Dagster"),
)

# In the order in which they are declared.
OWN: tuple[Setting[Any], ...] = tuple(value for value in vars(declared).values() if isinstance(value, Setting))
VARIABLES = {setting.name: setting for setting in (*OWN, *_STANDARD, *_INTERNAL)}
