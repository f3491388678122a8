"""Which proxy is used for which host, by the variables that every tool knows; and what is refused before anything is asked."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.proxies import Network
from debitura_pipeline.settings import load_settings
from tests.support.certificates import make_certificates
from tests.support.command import debitura

HOST = "referral-api.debitura.com"
LIVE = {"DEBITURA_ENVIRONMENT": "production", "DEBITURA_API_KEY": "key"}
PASSWORD = "s3cret-w0rd"


def network(**env: str) -> Network:
    return load_settings({**LIVE, **env}).network


def port_of(host: str, **env: str) -> int | None:
    """The proxies of these tests are told apart by their ports."""
    proxy = network(**env).proxy_for(host, 443)
    return proxy.port if proxy else None


@pytest.mark.parametrize(
    ("env", "port"),
    [
        ({}, None),
        ({"DEBITURA_PROXY": "http://p:1", "HTTPS_PROXY": "http://p:2"}, 1),
        ({"HTTPS_PROXY": "http://p:2", "ALL_PROXY": "http://p:3"}, 2),
        ({"https_proxy": "http://p:4", "HTTPS_PROXY": "http://p:2"}, 4),
        ({"all_proxy": "http://p:5"}, 5),
        ({"HTTPS_PROXY": "p.example:6"}, 6),
        ({"HTTPS_PROXY": "https://p"}, 443),
        ({"HTTPS_PROXY": "http://[::1]:8/"}, 8),
        ({"HTTPS_PROXY": " ", "ALL_PROXY": "http://p"}, 80),
        ({"HTTP_PROXY": "http://p:9"}, None),
        ({"DEBITURA_PROXY": "http://p:1", "NO_PROXY": HOST}, None),
    ],
)
def test_the_first_variable_that_is_set_names_the_proxy(env: dict[str, str], port: int | None) -> None:
    assert port_of(HOST, **env) == port


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1", "api.localhost", "LOCALHOST."])
def test_this_machine_is_never_asked_for_through_a_proxy(host: str) -> None:
    assert port_of(host, DEBITURA_PROXY="http://p:1") is None


@pytest.mark.parametrize(
    ("listed", "direct", "proxied"),
    [
        ("*", [HOST, "10.1.2.3"], []),
        ("debitura.com", [HOST, "debitura.com"], ["notdebitura.com", "debitura.com.example"]),
        (".debitura.com", [HOST], ["notdebitura.com"]),
        ("*.debitura.com", [HOST], ["notdebitura.com"]),
        ("a.example, DEBITURA.COM b.example", [HOST, "a.example", "b.example"], ["c.example"]),
        (f"{HOST}:443", [HOST], []),
        (f"{HOST}:8443", [], [HOST]),
        ("https://debitura.com", [HOST], []),
        ("http://debitura.com", [], [HOST]),
        ("10.0.0.0/8, fd00::/8", ["10.1.2.3", "fd00::1"], ["11.1.2.3", HOST]),
        ("10.1.2.3, [fd00::1]:443", ["10.1.2.3", "fd00::1"], ["10.1.2.4", "110.1.2.3"]),
        ("1.2.3.4/99,/,:,.,[,https://", [], [HOST, "1.2.3.4"]),
    ],
)
def test_what_no_proxy_names_is_reached_directly(listed: str, direct: list[str], proxied: list[str]) -> None:
    for host in direct:
        assert port_of(host, HTTPS_PROXY="http://p:1", no_proxy=listed) is None, host
    for host in proxied:
        assert port_of(host, DEBITURA_PROXY="http://p:1", NO_PROXY=listed) == 1, host


BAD = [
    "http://", "http://:3128", "http://p:0", "http://p:99999", "http://p:x", f"http://robot:{PASSWORD}@", "http://p/x", "http://p?x",
    f"http://robot:{PASSWORD}#1@p:3128", f"http://robot:{PASSWORD}%ff@p:1", "http://p q:1", "http://[::1", "http://p\x07:1",
    "socks5://p:1080", "socks5h://p", "ftp://p:1",
]  # fmt: skip


@pytest.mark.parametrize("name", ["DEBITURA_PROXY", "HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize("value", BAD)
def test_a_proxy_that_is_none_is_one_line_naming_the_variable_and_not_its_password(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        network(**{name: value})
    told = str(caught.value)
    assert told.startswith(f"{name} ")
    assert "\n" not in told
    assert PASSWORD not in told + repr(caught.value.facts)
    assert ("SOCKS" in told) is value.startswith("socks")


@pytest.mark.parametrize("value", ["proxy.example:3128", "nonsense"])
def test_our_own_variable_says_which_kind_of_proxy_it_names(value: str) -> None:
    with pytest.raises(SettingsError, match="DEBITURA_PROXY is not an http:// or https:// address"):
        network(DEBITURA_PROXY=value)


def test_a_proxy_of_another_kind_that_is_not_used_keeps_nobody_from_working() -> None:
    """A desktop sets ALL_PROXY=socks://… for everything; the sandbox is on this machine."""
    assert load_settings({"ALL_PROXY": "socks5://p:1"}).network.proxy is None
    assert network(ALL_PROXY="socks5://p:1", NO_PROXY="debitura.com").proxy is None
    assert port_of(HOST, ALL_PROXY="socks5://p:1", HTTPS_PROXY="http://p:2") == 2


def test_a_proxys_password_is_in_no_text_of_the_settings() -> None:
    settings = load_settings({**LIVE, "DEBITURA_PROXY": f"http://robot:{PASSWORD}@p:1"})
    assert PASSWORD not in repr(settings)
    assert "robot" not in repr(settings)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is not a bundle of certificates in PEM format"),
        (b"garbage\n", "is not a bundle of certificates in PEM format"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is not a bundle"),
        (b"\x30\x82\x01\x00", "is not a bundle"),
    ],
)
def test_a_bundle_that_holds_no_certificate_stops_every_command(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings({"DEBITURA_CA_FILE": str(file)})
    assert str(caught.value).startswith(f"DEBITURA_CA_FILE is {file}, which ")
    assert words in str(caught.value)


def test_a_folder_is_no_bundle_and_a_relative_path_begins_at_the_project(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DEBITURA_CA_FILE"):
        load_settings({"DEBITURA_CA_FILE": str(tmp_path)})
    authority = make_certificates(tmp_path, "DNS:api.example").authority
    assert load_settings({"DEBITURA_CA_FILE": authority.name}, tmp_path).network.ca_file == authority


def test_commands_say_which_variable_is_wrong_and_the_sandbox_needs_no_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    data = {"DEBITURA_DATA_DIR": str(tmp_path / "data")}
    said = debitura("sync", env={**data, "DEBITURA_PROXY": f"socks5://robot:{PASSWORD}@p:1"})
    assert said.status == 2
    assert said.error_line.startswith("DEBITURA_PROXY is a SOCKS proxy, which is not supported")
    assert PASSWORD not in said.err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
        names = ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY", "DEBITURA_PROXY")
        said = debitura("sync", "--only", "clients", env={**data, **dict.fromkeys(names, dead)})
    assert said.status == 0, said.err
