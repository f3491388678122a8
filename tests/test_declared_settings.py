"""The declarations of the settings are sound, and lint notices code, `.env.example` or page that do not follow them."""

from __future__ import annotations

from pathlib import Path

import pytest

from debitura_pipeline.settings.catalogue import OWN, VARIABLES
from debitura_pipeline.settings.declaration import Setting, Values
from debitura_pipeline.settings.readers import text
from tests.support.sandbox import ROOT
from tools.conventions import settings as convention
from tools.conventions.source import Module
from tools.settings import pages

FILES = ("DEBITURA_CA_FILE",)  # whose example is a file that must exist


@pytest.mark.parametrize("setting", [one for one in OWN if one.name not in FILES], ids=lambda setting: setting.name)
def test_default_and_examples_are_accepted(setting: Setting[object], tmp_path: Path) -> None:
    for value in (*setting.examples, *filter(None, [setting.default])):
        assert Values({setting.name: value}, tmp_path).optional(setting) is not None


def test_a_declaration_without_a_sentence_or_a_secret_with_a_default_refuses_to_exist() -> None:
    with pytest.raises(ValueError, match="not a sentence"):
        Setting("DEBITURA_X", "API", "no full stop", text("text"))
    with pytest.raises(ValueError, match="has no default"):
        Setting("DEBITURA_X", "API", "A key.", text("text"), default="key", is_secret=True)


def test_a_value_without_a_default_is_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="DEBITURA_API_KEY has no default"):
        Values({}, tmp_path).one(VARIABLES["DEBITURA_API_KEY"])


def test_the_pages_are_as_the_settings_are_declared(tmp_path: Path) -> None:
    assert list(convention.outdated(ROOT)) == []
    for name, content in pages().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / ".env.example").write_text("# DEBITURA_DATA_DIR=data\n")
    (fault,) = convention.outdated(tmp_path)
    assert fault.startswith(".env.example is not as")


def module(path: Path, source: str) -> Module:
    path.write_text(source)
    return Module("somewhere", path)


@pytest.mark.parametrize(
    "source",
    [
        'import os\nos.environ.get("DEBITURA_NEW", "")',
        'import os\nos.environ["DEBITURA_NEW"]',
        'print("Set DEBITURA_NEW to less.")',
        'child = {"DEBITURA_NEW": "1"}',
    ],
)
def test_a_variable_that_is_not_declared_is_found(source: str, tmp_path: Path) -> None:
    (fault,) = convention.undeclared({"somewhere": module(tmp_path / "a.py", source)}, {})
    assert fault == "somewhere names DEBITURA_NEW, which is not declared in debitura_pipeline/settings"


@pytest.mark.parametrize(
    "text", ["x: \"{{ env_var('DEBITURA_NEW', '1') }}\"", "env: DAGSTER_NEW", "Environment=DAGSTER_NEW=1"]
)
def test_so_is_one_in_dbt_or_deploy(text: str) -> None:
    (fault,) = convention.undeclared({}, {"dbt/profiles.yml": text})
    assert "_NEW, which is not declared" in fault


@pytest.mark.parametrize(
    ("source", "texts", "is_read"),
    [
        ("", {}, False),
        ('child = {"DEBITURA_NEW": "1"}', {}, False),
        ('print("Set DEBITURA_NEW to less.")', {}, False),
        ('import os\nos.environ.get("DEBITURA_NEW")', {}, True),
        ("", {"profiles.yml": "{{ env_var('DEBITURA_NEW', '1') }}"}, True),
        ("", {"dagster.yaml": "env: DEBITURA_NEW"}, True),
    ],
)
def test_a_declared_variable_that_nothing_reads_is_found(
    source: str, texts: dict[str, str], is_read: bool, tmp_path: Path
) -> None:
    new = {"DEBITURA_NEW": Setting("DEBITURA_NEW", "API", "New.", text("text"))}
    found = {convention.LOADER: module(tmp_path / "a.py", source), convention.PROXIES: module(tmp_path / "b.py", "")}
    assert list(convention.unread(found, texts, new)) == (
        [] if is_read else ["DEBITURA_NEW is declared, and nothing reads it"]
    )


def test_a_setting_that_is_no_longer_loaded_is_found(tmp_path: Path) -> None:
    """Its name in a message or in a list of names is not a reading."""
    wanted = {name: VARIABLES[name] for name in ("DEBITURA_DATA_DIR", "DEBITURA_PRIVACY", "DEBITURA_PROXY")}
    loader = 'values.one(declared.DATA_DIR)\nname = "DEBITURA_PRIVACY"'
    found = {
        convention.LOADER: module(tmp_path / "a.py", loader),
        convention.PROXIES: module(tmp_path / "b.py", 'OWN = "DEBITURA_PROXY"'),
    }
    assert list(convention.unread(found, {}, wanted)) == ["DEBITURA_PRIVACY is declared, and nothing reads it"]
