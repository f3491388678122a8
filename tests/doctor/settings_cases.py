"""Settings that cannot be meant: refused by every command, in one line that names the variable and gives an example."""

from __future__ import annotations

from collections.abc import Callable

from tests.doctor.case import Case, Scene, env

REMOTE = "https://api.example.com"
PG = "postgresql://user:password@127.0.0.1:5432/db"


def _dotenv(body: bytes) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        scene.dotenv = body

    return make


def _file_instead(name: str, variable: str) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        (scene.folder / name).write_text("a file")
        scene.env[variable] = str(scene.folder / name)

    return make


def _key_file(content: str) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        scene.data.mkdir()
        (scene.data / "privacy.key").write_text(content)

    return make


def _wrong(name: str, make: Callable[[Scene], None], seen: str, cure: str = "Example") -> Case:
    return Case(name, make, "", seen, cure)


CASES = [
    _wrong(
        "DEBITURA_ENVIRONMENT misspelt", env(DEBITURA_ENVIRONMENT="prodcution"), "^DEBITURA_ENVIRONMENT is 'prodcution'"
    ),
    _wrong(
        "DEBITURA_ENVIRONMENT in capitals",
        env(DEBITURA_ENVIRONMENT="Production"),
        "^DEBITURA_ENVIRONMENT is 'Production'",
    ),
    _wrong(
        "test or production without a key",
        env(DEBITURA_ENVIRONMENT="test"),
        "^DEBITURA_API_KEY is needed, since the env",
    ),
    _wrong(
        "an address without a key", env(DEBITURA_API_URL=REMOTE), "^DEBITURA_API_KEY is needed, since an API address"
    ),
    _wrong("an empty key", env(DEBITURA_ENVIRONMENT="test", DEBITURA_API_KEY=""), "^DEBITURA_API_KEY is needed"),
    _wrong(
        "a key and the sandbox",
        env(DEBITURA_API_KEY="abc"),
        "DEBITURA_API_KEY is set and DEBITURA_ENVIRONMENT is sandbox",
    ),
    _wrong(
        "a key with a space in it",
        env(DEBITURA_ENVIRONMENT="test", DEBITURA_API_KEY="s3cret x"),
        "^DEBITURA_API_KEY contains spaces",
    ),
    _wrong(
        "a key in quotes",
        env(DEBITURA_ENVIRONMENT="test", DEBITURA_API_KEY='"s3cret"'),
        "^DEBITURA_API_KEY is in quotes",
    ),
    _wrong(
        "http to another machine",
        env(DEBITURA_API_URL="http://api.example.com", DEBITURA_API_KEY="s3cret"),
        "only https is used",
    ),
    _wrong(
        "an address without https://",
        env(DEBITURA_API_URL="api.example.com", DEBITURA_API_KEY="s3cret"),
        "^DEBITURA_API_URL is not",
    ),
    _wrong(
        "an address of another database",
        env(DEBITURA_WAREHOUSE="mysql://user:s3cret@host/db"),
        "^DEBITURA_WAREHOUSE is neither",
    ),
    _wrong("duckdb:// with two slashes", env(DEBITURA_WAREHOUSE="duckdb://x.duckdb"), "^DEBITURA_WAREHOUSE is neither"),
    _wrong(
        "a password with unescaped @ : /",
        env(DEBITURA_WAREHOUSE="postgresql://me:s3@cr/et@host:5432/db"),
        r"^DEBITURA_WAREHOUSE is not an address .* %40 %3A %2F %25",
    ),
    _wrong(
        "the same in DAGSTER_POSTGRES_URL",
        env(DAGSTER_POSTGRES_URL="postgresql://me:s3@cr/et@host:5432/db"),
        r"^DAGSTER_POSTGRES_URL is not an address .* %40",
    ),
    _wrong(
        "DEBITURA_DBT_URL beside DuckDB",
        env(DEBITURA_DBT_URL=PG),
        "^DEBITURA_DBT_URL is set, but the warehouse is not Post",
    ),
    _wrong(
        "DAGSTER_POSTGRES_URL of another database",
        env(DAGSTER_POSTGRES_URL="mysql://u@h/db"),
        "^DAGSTER_POSTGRES_URL is not a",
    ),
    _wrong(
        "data directory is a file",
        _file_instead("data", "DEBITURA_DATA_DIR"),
        "DEBITURA_DATA_DIR is .*, which is a file",
    ),
    _wrong("DAGSTER_HOME is a file", _file_instead("home", "DAGSTER_HOME"), "DAGSTER_HOME is .*, which is a file"),
    _wrong("a short privacy key", env(DEBITURA_PRIVACY_KEY="s3cret"), "^DEBITURA_PRIVACY_KEY is shorter than 16"),
    _wrong(
        "an empty privacy.key",
        _key_file(""),
        "privacy.key contains no privacy key",
        "from a backup or set DEBITURA_PRIVACY_KEY",
    ),
    _wrong("DEBITURA_PRIVACY misspelt", env(DEBITURA_PRIVACY="pseudonym"), "^DEBITURA_PRIVACY is 'pseudonym'"),
    _wrong("no requests in flight", env(DEBITURA_CONCURRENCY="-1"), "^DEBITURA_CONCURRENCY is -1, outside 1 to 64"),
    _wrong(
        "too many requests in flight",
        env(DEBITURA_CONCURRENCY="1000"),
        "^DEBITURA_CONCURRENCY is 1000, outside 1 to 64",
    ),
    _wrong(
        "memory that is not an amount",
        env(DEBITURA_DUCKDB_MEMORY="lots"),
        "^DEBITURA_DUCKDB_MEMORY is 'lots', which is not an amount",
    ),
    _wrong(
        "days that are not a number", env(DEBITURA_REFRESH_DAYS="abc"), "^DEBITURA_REFRESH_DAYS is not a whole number"
    ),
    _wrong(
        "more requests a minute than the API allows",
        env(DEBITURA_ENVIRONMENT="test", DEBITURA_API_KEY="s3cret", DEBITURA_REQUESTS_PER_MINUTE="5000"),
        "^DEBITURA_REQUESTS_PER_MINUTE is 5000, outside 1 to 2000",
    ),
    _wrong(
        "a misspelt name in the environment",
        env(DEBITURA_CONCURENCY="4"),
        "^DEBITURA_CONCURENCY in the environment is not a setting",
        "did you mean DEBITURA_CONCURRENCY",
    ),
    _wrong(
        "a setting that no longer exists",
        env(DEBITURA_ONBOARDING_WRITES="maybe"),
        "^DEBITURA_ONBOARDING_WRITES in the environment is not a setting",
        r"\.env\.example|did you mean",
    ),
    _wrong(
        "a misspelt name in .env",
        _dotenv(b"DEBITURA_ENVIROMENT=production\n"),
        r"^DEBITURA_ENVIROMENT in .*\.env is not a setting",
        "did you mean DEBITURA_ENVIRONMENT",
    ),
    _wrong(
        "a line of .env that cannot be read", _dotenv(b"DEBITURA_API_KEY: s3cret\n"), r"\.env, line 1: cannot be read"
    ),
    _wrong(
        "a .env in UTF-16",
        _dotenv("DEBITURA_ENVIRONMENT=test\n".encode("utf-16")),
        r"\.env is not UTF-8",
        "Save it as UTF-8",
    ),
]
