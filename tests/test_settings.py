"""Settings that cannot work end the program before it touches anything, in one line that says how to mend them."""

from __future__ import annotations

from pathlib import Path

import pytest

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import load_settings
from tests.support.command import debitura

URLS = [
    "http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://127.0.0.1:0", "https://api.example:-1", "https://[::1", "https://",
    "https://a b.example", "https://api.example/ø", "https://user@api.example", "https://api.example/?a=b", "https://api.example/#a",
    "https://api.example\\x", "ftp://api.example", "api.example",
]  # fmt: skip


@pytest.mark.parametrize("name", ["DEBITURA_API_URL", "DEBITURA_CUSTOMER_API_URL"])
@pytest.mark.parametrize("url", URLS)
def test_an_address_that_is_none_is_one_line_naming_the_variable(name: str, url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: url, "DEBITURA_API_KEY": "key"}, tmp_path)
    assert str(caught.value).startswith(f"{name} ")
    assert "Example: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://[::1]:1/x", "https://api.example:65535/v1/", "HTTPS://api.example"]
)
def test_a_plain_address_is_taken(url: str, tmp_path: Path) -> None:
    assert load_settings({"DEBITURA_API_URL": url, "DEBITURA_API_KEY": "key"}, tmp_path).api_url == url.rstrip("/")


@pytest.mark.parametrize("content", [b"", b"short", b" " * 40, b"\xff"])
def test_a_privacy_key_that_is_none_stops_every_command_with_the_cure(content: bytes, tmp_path: Path) -> None:
    """Pseudonyms made with an empty or short key can be guessed."""
    key = tmp_path / "privacy.key"
    key.write_bytes(content)
    said = debitura("sync", env={"DEBITURA_DATA_DIR": str(tmp_path)})
    assert said.status == 2
    assert "privacy.key contains no privacy key of at least 16 characters" in said.error_line
    assert "DEBITURA_PRIVACY_KEY" in said.error_line
    assert "Traceback" not in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["privacy.key"]


@pytest.mark.parametrize(("name", "most"), [("DEBITURA_OUTAGE_MINUTES", 720), ("DEBITURA_RUN_RETRIES", 10)])
def test_waits_and_retries_are_bounded(name: str, most: int, tmp_path: Path) -> None:
    for value in ("0", str(most)):
        settings = load_settings({name: value}, tmp_path)
        assert int(value) in (settings.outage_minutes, settings.run_retries)
    for value in ("-1", str(most + 1), "1.5", "many"):
        with pytest.raises(SettingsError, match=f"^{name} "):
            load_settings({name: value}, tmp_path)


@pytest.mark.parametrize(("name", "scheme"), [("DEBITURA_DATA_DIR", ""), ("DEBITURA_WAREHOUSE", "duckdb:///")])
def test_a_path_that_duckdb_cannot_use_is_refused_before_anything_is_touched(
    name: str, scheme: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=rf"{name} is .*a\?b.*cannot use a path with a `\?`"):
        load_settings({"DEBITURA_DATA_DIR": str(tmp_path), name: f"{scheme}{tmp_path}/a?b/w.duckdb"})


def test_a_path_that_is_no_text_in_this_locale_is_refused(tmp_path: Path) -> None:
    """As Python reads it where the locale is ASCII; DuckDB's error was a traceback."""
    with pytest.raises(SettingsError, match=r"DEBITURA_DATA_DIR is not UTF-8 in the locale of this process"):
        load_settings({"DEBITURA_DATA_DIR": f"{tmp_path}/Gl\udcc3\udca4ubiger"})


@pytest.mark.parametrize("place", ["published/warehouse.duckdb", "published/nights/x/w.duckdb"])
def test_a_published_copy_is_no_warehouse(place: str, tmp_path: Path) -> None:
    """It is replaced every night."""
    env = {"DEBITURA_DATA_DIR": str(tmp_path), "DEBITURA_WAREHOUSE": f"duckdb:///{tmp_path}/{place}"}
    with pytest.raises(SettingsError, match="replaced every night"):
        load_settings(env, tmp_path)


def test_a_warehouse_in_memory_is_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="names no file"):
        load_settings({"DEBITURA_WAREHOUSE": "duckdb:///:memory:"}, tmp_path)
