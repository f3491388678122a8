"""A fault in the partners file is one line that names file, partner and key, shows no secret, and stops nobody else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import Settings, load_partner, load_settings
from debitura_pipeline.settings.catalogue import OWN
from debitura_pipeline.settings.partner_table import KEYS, REFERENCES
from debitura_pipeline.settings.partners_file import PartnersFile
from tests.support.sandbox import ROOT

SECRET = "sekret-5f1a0ca9"


def load(tmp_path: Path, text: str, name: str = "a", **variables: str) -> Settings:
    (tmp_path / "partners.toml").write_text(text)
    env = {"DEBITURA_PARTNERS": "partners.toml", "DEBITURA_PARTNER": name, **variables}
    return load_settings(env, tmp_path)


def refused(tmp_path: Path, text: str, name: str = "a", **variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text, name, **variables)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_table_is_the_settings_of_one_partner_over_the_shared_ones(tmp_path: Path) -> None:
    text = """
        [a]
        environment = "test"
        api_key_variable = "A_KEY"
        requests_per_minute = 900
        publish_csv = true
        writes = ["clients", "cases"]
        schedule = "30 4 * * *"
        [b]
        api_url = "http://127.0.0.1:9"
        api_key_variable = "B_KEY"
        data_dir = "elsewhere"
        warehouse = "postgresql://b@db.example.com/shared"
        schema_prefix = "b_"
    """
    keys = {"A_KEY": "key-a", "B_KEY": "key-b", "DEBITURA_CONCURRENCY": "3", "DEBITURA_DATA_DIR": "all"}
    a, b = load(tmp_path, text, "a", **keys), load(tmp_path, text, "b", **keys)
    assert (a.partner, a.environment, a.requests_per_minute, a.publishes_csv) == ("a", "test", 900, True)
    assert (a.outbound.writes, a.schedule) == (frozenset(("clients", "cases")), "30 4 * * *")
    assert (a.data_dir, a.dagster_home) == (tmp_path / "all" / "a", tmp_path / "all" / "a" / "dagster")
    assert (b.data_dir, b.warehouse.schema_prefix, b.schedule) == (tmp_path / "elsewhere", "b_", "0 2 * * *")
    assert [settings.api_key.reveal() for settings in (a, b) if settings.api_key] == ["key-a", "key-b"]
    assert a.concurrency == b.concurrency


FAULTS = {
    f'api_key = "{SECRET}"': "partner a: api_key is a secret, which must not be in this file",
    f'privacy_key = "{SECRET}"': "privacy_key is a secret",
    f'alerts = "slack://{SECRET}"': "alerts is a secret",
    f'api_key_variable = "{SECRET}"': "api_key_variable is not the name of a variable",
    f'api_key_file = "{SECRET}"': "api_key_file names a file, which cannot be read (No such file or directory)",
    'api_key_variable = "A_KEY"': "api_key_variable names A_KEY, which is not set",
    'api_key_variable = "DEBITURA_API_KEY"': "names DEBITURA_API_KEY, which is a setting of its own",
    'api_key_variable = 5': "api_key_variable must be text in quotes",
    'api_key_variable = "A_KEY"\napi_key_file = "k"': "api_key_file is set beside another source of api_key",
    f'warehouse = "postgresql://u:{SECRET}@h/db"': "warehouse has a password",
    f'warehouse = "postgresql://h/db?password={SECRET}"': "warehouse has a password",
    f'warehouse = "postgresql://u:{SECRET}/@h/db"': "warehouse has a password",
    f'roster = "postgresql://u:{SECRET}@h/db?table=a.b"': "roster has a password",
    f'proxy = "http://u:{SECRET}@h:1"': "proxy has a password",
    f'api_kee = "{SECRET}"': "api_kee is not a key of a partner; did you mean api_key",
    'partners = "x"': "partners is not a key of a partner",
    'concurrency = "4"': "concurrency must be a whole number without quotes. Example: concurrency = 8",
    'concurrency = true': "concurrency must be a whole number",
    'concurrency = 65': "concurrency is 65, outside 1 to 64. Example: concurrency = 8",
    'publish_csv = "yes"': "publish_csv must be true or false",
    'writes = [1]': 'writes must be a list of texts. Example: writes = ["clients", "cases"]',
    'writes = "orders"': "writes names 'orders'",
    'data_dir = 5': "data_dir must be text in quotes",
    'environment = "live"': "environment is 'live', which is not one of sandbox, test, production",
    'environment = "test"': 'api_key is needed, since the environment is test. Example: api_key_variable = "ACME_API_KEY"',
    'schema_prefix = "a_"': "schema_prefix is set, but the warehouse is not Postgres",
    'schedule = "0 2 * * 1"': "schedule does not run every day",
    'api_key = { variable = "A_KEY" }': "api_key is a secret",
    'data_dir = "~nobody-of-this-name/data"': "data_dir is not a path",
    'data_dir = "a\\u0000b"': "data_dir contains control characters",
    'warehouse = "duckdb:///~/\\u0000"': "warehouse contains control characters",
    'api_key_file = "~nobody-of-this-name/key"': "api_key_file names a file in the home of nobody",
}  # fmt: skip


@pytest.mark.parametrize(("line", "words"), FAULTS.items(), ids=[line.partition(" ")[0] for line in FAULTS])
def test_a_fault_in_a_table_is_one_line_that_names_it_and_stops_nobody_else(
    line: str, words: str, tmp_path: Path
) -> None:
    text = f"[a]\n{line}\n[b]\n"
    said = refused(tmp_path, text)
    assert said.startswith(f"{tmp_path / 'partners.toml'}, partner a: ")
    assert words in said
    assert load(tmp_path, text, "b").partner == "b"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'[a]\napi_key = "{SECRET}', "partners.toml, line 2: is not TOML"),
        (f"[a]\n{SECRET}\n", "partners.toml, line 2: is not TOML"),
        (f'api_key = "{SECRET}"\n[a]\n', "api_key is a setting outside of a partner's table"),
        (f"{SECRET} = 1\n[a]\n", "an entry before the first table is not a table"),
        ("[Acme]\n", "partner 'Acme': is not a partner's name"),
        ("[landing]\n", "partner 'landing': is the name of a folder"),
        ("", "has no partner"),
        ("[a-b]\n[a_b]\n", "two partners are called a_b, apart from - and _"),
    ],
)
def test_a_file_that_cannot_be_read_stops_all(text: str, words: str, tmp_path: Path) -> None:
    assert words in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("b", "words"),
    [
        ('data_dir = "data/a"', "data_dir is"),
        ('data_dir = "data"', "keep them apart"),
        ('data_dir = "data/a/b"', "keep them apart"),
        ('warehouse = "duckdb:///data/a/warehouse.duckdb"', "warehouse is the same as that of partner b"),
        ('dagster_home = "data/a/dagster"', "dagster_home is the same as that of partner b"),
    ],
)
def test_no_two_partners_share_a_place(b: str, words: str, tmp_path: Path) -> None:
    text = f'[a]\n[b]\n{b}\n[c]\ndata_dir = "c"\n'
    said = refused(tmp_path, text)
    assert words in said
    assert "partner b" in said
    assert "that of partner a" in refused(tmp_path, text, "b")
    assert load(tmp_path, text, "c").partner == "c"


@pytest.mark.parametrize(
    "warehouse",
    [
        'warehouse = "postgresql://{name}@db.example.com/shared"',
        'warehouse_variable = "SHARED"',
        'warehouse_file = "url"',
    ],
)
def test_a_shared_database_needs_schemas_of_each_partners_own(warehouse: str, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://db.example.com/shared")
    (tmp_path / "url").chmod(0o600)
    shared = {"SHARED": "postgresql://db.example.com/shared"}
    tables = [f"[{name}]\n{warehouse.format(name=name)}\n" for name in "ab"]
    assert 'schema_prefix = "a_" keeps them apart' in refused(tmp_path, "".join(tables), **shared)
    apart = "".join(f'{table}schema_prefix = "{name}_"\n' for table, name in zip(tables, "ab", strict=True))
    assert load(tmp_path, apart, **shared).warehouse.schema_prefix == "a_"


@pytest.mark.parametrize(
    ("mode", "content", "words"),
    [
        (0o604, "key", "every user of this machine may use (mode 0604)"),
        (0o602, "key", "every user of this machine may use"),
        (0o600, " \n", "which is empty"),
        (0o600, "two\nlines", "api_key contains spaces"),
    ],
)
def test_a_keys_file_is_private_and_holds_a_key(mode: int, content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text(content)
    (tmp_path / "a.key").chmod(mode)
    assert words in refused(tmp_path, '[a]\nenvironment = "test"\napi_key_file = "a.key"\n')
    assert "cannot be read (Is a directory)" in refused(tmp_path, '[a]\nenvironment = "test"\napi_key_file = "."\n')


def test_a_pipe_in_place_of_a_keys_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.key", 0o600)
    assert "which is not a file" in refused(tmp_path, '[a]\nenvironment = "test"\napi_key_file = "a.key"\n')


ODD = st.one_of(
    st.sampled_from(
        ("", "~", "~x/y", "/", "data/b", "duckdb:///", "postgresql://[", "http://[::1", "A_KEY", "x" * 5000)
    ),
    st.text(max_size=5),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.dates(),
    st.lists(st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)


@settings(max_examples=150)
@given(st.lists(st.dictionaries(st.sampled_from((*KEYS, *REFERENCES)), ODD, max_size=3), min_size=2, max_size=2))
def test_whatever_tables_hold_it_is_settings_or_one_line(tables: list[dict[str, object]]) -> None:
    partners = PartnersFile(Path("/nowhere/partners.toml"), Path("/nowhere"), dict(zip("ab", tables, strict=True)))
    for name in "ab":
        try:
            load_partner(partners, name, {"A_KEY": SECRET})
        except SettingsError as error:
            assert str(error).startswith(f"/nowhere/partners.toml, partner {name}: ")
            assert "\n" not in str(error)
            assert SECRET not in str(error)


def test_a_keys_file_may_be_shared_with_a_group(tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text("key-a\n")
    (tmp_path / "a.key").chmod(0o640)
    found = load(tmp_path, '[a]\nenvironment = "test"\napi_key_file = "a.key"\n')
    assert found.api_key is not None
    assert found.api_key.reveal() == "key-a"


class Watched(Mapping[str, str]):
    """Variables that notice which of them are read."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values_, self.read = values, set[str]()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return self.values_[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


def test_only_the_partners_own_secrets_are_read(tmp_path: Path) -> None:
    """B's file does not even exist."""
    (tmp_path / "partners.toml").write_text(
        '[a]\nenvironment = "test"\napi_key_variable = "A_KEY"\n[b]\napi_key_variable = "B_KEY"\nprivacy_key_file = "no"\n'
    )
    env = Watched({"DEBITURA_PARTNERS": "partners.toml", "DEBITURA_PARTNER": "a", "A_KEY": "key-a", "B_KEY": "key-b"})
    assert load_settings(env, tmp_path).partner == "a"
    assert "A_KEY" in env.read
    assert "B_KEY" not in env.read


@pytest.mark.parametrize(
    "name", [setting.name for setting in OWN if setting.scope == "own" and setting.name[0:3] == "DEB"]
)
def test_a_single_partners_setting_beside_the_file_is_not_silently_dropped(name: str, tmp_path: Path) -> None:
    said = refused(tmp_path, "[a]\n", **{name: SECRET})
    assert said.startswith(f"{name} is set beside DEBITURA_PARTNERS")


def test_a_wrong_shared_value_is_named_as_a_variable(tmp_path: Path) -> None:
    assert "DEBITURA_CONCURRENCY is 99" in refused(tmp_path, "[a]\n", DEBITURA_CONCURRENCY="99")


def test_without_the_file_no_partner_can_be_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DEBITURA_PARTNERS, the file of the partners, is not set"):
        load_settings({"DEBITURA_PARTNER": "a"}, tmp_path)
    with pytest.raises(SettingsError, match="which cannot be read"):
        load_settings({"DEBITURA_PARTNERS": "none.toml", "DEBITURA_PARTNER": "a"}, tmp_path)
    assert load_settings({}, tmp_path).partner is None


def test_the_guides_example_is_a_partners_file(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guides" / "partners.md").read_text()
    text = page.partition("```toml\n")[2].partition("```")[0].replace("/etc/debitura", str(tmp_path))
    (tmp_path / "beta.key").touch(mode=0o600)
    (tmp_path / "beta.key").write_text("key-of-beta")
    acme = load(tmp_path, text, "acme", ACME_API_KEY="key-of-acme")
    beta = load(tmp_path, text, "beta", BETA_WAREHOUSE="postgresql://beta:pw@db.example.com/partners")
    assert (acme.requests_per_minute, beta.schedule, beta.warehouse.schema_prefix) == (900, "30 3 * * *", "beta_")


def test_every_setting_has_a_key_and_no_two_share_one() -> None:
    assert len(KEYS) == len(OWN) - 5  # those of the process: the partners' two, and the workers' three
    assert not set(KEYS) & set(REFERENCES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql://u@localhost:5432/db", "postgresql:///db?host=127.0.0.1&user=u"),
        ("postgresql://u@[::1]/db", "postgres://u@localhost/db"),
    ],
)
def test_a_database_is_the_same_in_any_spelling(one: str, other: str, tmp_path: Path) -> None:
    text = f'[a]\nwarehouse = "{one}"\nschema_prefix = "x_"\n[b]\nwarehouse = "{other} "\nschema_prefix = "x_ "\n'
    assert "is the same as that of partner b" in refused(tmp_path, text)


def test_dagsters_home_is_in_no_other_partners_data_directory(tmp_path: Path) -> None:
    text = f'[a]\ndagster_home = "{tmp_path}/data/b/dagster-a"\n[b]\n'
    assert "in the data directory of partner b" in refused(tmp_path, text, DEBITURA_DATA_DIR="data")


def test_a_partners_file_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in ("pipe", "/dev/zero", "."):
        with pytest.raises(SettingsError, match="which is not a file"):
            load_settings({"DEBITURA_PARTNERS": place, "DEBITURA_PARTNER": "a"}, tmp_path)


def test_a_secrets_file_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x" * 70_000)
    (tmp_path / "key").chmod(0o600)
    assert "too long" in refused(tmp_path, '[a]\nenvironment = "test"\napi_key_file = "key"')


@pytest.mark.parametrize("name", ["PATH", "HOME", "PGHOST", "LD_PRELOAD", "PYTHONPATH", "DAGSTER_HOME"])
def test_variables_that_programs_need_are_no_secrets_place(name: str, tmp_path: Path) -> None:
    assert f"names {name}, which" in refused(tmp_path, f'[a]\nenvironment = "test"\napi_key_variable = "{name}"')
    load(tmp_path, '[a]\nenvironment = "test"\napi_key_variable = "LDN_PATH_KEY"', LDN_PATH_KEY="k")


def test_a_partner_that_is_there_twice_is_named_so(tmp_path: Path) -> None:
    assert "line 2: has a table or a key a second time" in refused(tmp_path, "[a]\n[a]\n")
