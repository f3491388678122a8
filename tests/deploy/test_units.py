"""The units in `deploy/` name commands and options that there are, and only the places that its README explains."""

from __future__ import annotations

import configparser
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
import yaml

from debitura_pipeline.settings.catalogue import VARIABLES
from tests.support.sandbox import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted(path for path in (DEPLOY / "systemd").iterdir() if path.suffix in (".service", ".timer", ".target"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
BIN = "/opt/debitura/.venv/bin/"
PLACES = ("/opt/debitura", "/var/lib/debitura", "/var/backups/debitura", "/etc/debitura", "/run/debitura", "/bin/sh")


def sections(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


def command_of(program: str) -> Any:
    if program == "debitura":
        return typer.main.get_command(import_module("debitura_pipeline.cli.app").app)
    module, name = {
        "dagster": ("dagster._cli", "cli"),
        "dagster-daemon": ("dagster._daemon.cli", "cli"),
        "dagster-webserver": ("dagster_webserver.cli", "dagster_webserver"),
    }[program]
    return import_module(module).create_dagster_cli() if program == "dagster" else getattr(import_module(module), name)


def parse(command: click.Command, arguments: list[str]) -> None:
    """As click would, without running it. Raises click.UsageError."""
    while isinstance(command, click.Group):
        _, found, arguments = command.resolve_command(click.Context(command), arguments)
        assert found is not None
        command = found
    command.make_context("x", list(arguments))


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_commands_exist_and_take_their_options(path: Path) -> None:
    service = sections(path)["Service"]
    for line in filter(None, (service.get("ExecStartPre"), service["ExecStart"])):
        words = shlex.split(line)
        if words[0] == "/etc/debitura/alert":  # the operator's own
            continue
        if words[0] == "/bin/sh":
            words = shlex.split(words[2].removeprefix("exec ").replace("%%", "%"))
        program = words[0].removeprefix(BIN)
        assert words[0] == BIN + program
        assert Path(sys.executable).with_name(program).exists()
        if program == "python":
            assert words[1] == "-m"
            import_module(words[2])
        else:
            parse(command_of(program), [word.replace("/opt/debitura", str(ROOT)) for word in words[1:]])


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_services_are_held_to_their_own_places_and_user(path: Path) -> None:
    service = sections(path)["Service"]
    assert service["User"] == "debitura"
    assert service["UMask"] == "0077"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert "/var/lib/debitura" in service["ReadWritePaths"].split()
    assert service["EnvironmentFile"] == "/etc/debitura/debitura.env"


@pytest.mark.parametrize("path", [*UNITS, DEPLOY / "workspace.yaml", DEPLOY / "README.md"], ids=lambda path: path.name)
def test_only_documented_places_are_named(path: Path) -> None:
    documented = (*PLACES, "/usr/sbin/nologin", "/etc/systemd/system")
    for found in re.findall(r"(?<![\w.:/>~@])/[a-z][\w./-]*", path.read_text()):
        assert found.startswith(documented), f"{path.name} names {found}"


def test_units_name_each_other_rightly_and_the_web_page_is_for_this_machine_alone() -> None:
    names = {path.name for path in UNITS}
    for path in UNITS:
        for name in re.findall(r"debitura[\w-]*\.(?:service|timer|target)", path.read_text()):
            assert name in names, f"{path.name} names {name}"
    assert "--host 127.0.0.1 " in sections(DEPLOY / "systemd" / "debitura-web.service")["Service"]["ExecStart"]


def test_a_failed_night_is_tried_again_then_told() -> None:
    night = sections(DEPLOY / "systemd" / "debitura-nightly.service")
    assert (night["Service"]["Restart"], night["Service"]["RestartPreventExitStatus"]) == ("on-failure", "2")
    assert int(night["Unit"]["StartLimitBurst"]) == 4
    for name in ("nightly", "backup", "check"):
        unit = sections(DEPLOY / "systemd" / f"debitura-{name}.service")
        assert unit["Unit"]["OnFailure"] == "debitura-alert@%p.service"
        assert unit["Service"]["Type"] == "oneshot"
    assert "status --exit-code" in unit["Service"]["ExecStart"]


def test_the_workspace_is_where_the_code_server_listens() -> None:
    (server,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    command = sections(DEPLOY / "systemd" / "debitura-code-server.service")["Service"]["ExecStart"]
    assert f"--socket {server['grpc_server']['socket']} " in command
    assert f"--location-name {server['grpc_server']['location_name']} " in command


def test_the_example_of_settings_has_known_names_and_no_values_of_ours() -> None:
    lines = (DEPLOY / "systemd" / "debitura.env.example").read_text().splitlines()
    names = {line.lstrip("# ").partition("=")[0] for line in lines if re.match(r"#? ?[A-Z_]+=", line)}
    assert names <= set(VARIABLES)
    assert "DEBITURA_API_KEY=" in lines
