"""The units in `deploy/` name commands and options that there are, and only the places that its README explains."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from debitura_pipeline.settings.catalogue import VARIABLES
from tests.deploy.programs import run
from tests.support.sandbox import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted(path for path in (DEPLOY / "systemd").iterdir() if path.suffix in (".service", ".timer", ".target"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
BIN = "/opt/debitura/.venv/bin/"
PLACES = ("/opt/debitura", "/var/lib/debitura", "/var/backups/debitura", "/etc/debitura", "/run/debitura", "/bin/sh")


def sections(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)  # EnvironmentFile= may stand twice
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return parser


def check_command(words: list[str]) -> None:
    """That a program of ours exists, and takes these options. Raises click.UsageError."""
    program = words[0]
    assert Path(sys.executable).with_name(program).exists()
    if program == "python":
        assert words[1] == "-m"
        assert find_spec(words[2]) is not None
    else:
        parse(command_of(program), [word.replace("/opt/debitura", str(ROOT)) for word in words[1:]])


def command_of(program: str) -> Any:
    if program == "debitura":
        return typer.main.get_command(import_module("debitura_pipeline.cli.app").app)
    module, name = {
        "dagster": ("dagster._cli", "cli"),
        "dagster-daemon": ("dagster._daemon.cli", "cli"),
        "dagster-webserver": ("dagster_webserver.cli", "dagster_webserver"),
    }[program]
    return import_module(module).create_dagster_cli() if program == "dagster" else getattr(import_module(module), name)


def parse(command: Any, arguments: list[str]) -> None:
    """As click would, without running it; Typer has a click of its own, so not by its classes. Raises UsageError."""
    context = command.make_context("x", list(arguments))
    if hasattr(command, "resolve_command"):
        _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        parse(found, rest)


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_commands_exist_and_take_their_options(path: Path) -> None:
    service = sections(path)["Service"]
    for line in filter(None, (service.get("ExecStartPre"), service["ExecStart"])):
        words = shlex.split(line)
        if words[0] == "/etc/debitura/alert":  # the operator's own
            continue
        if words[0] == "/bin/sh":
            words = shlex.split(words[2].removeprefix("exec ").replace("%%", "%"))
        words = [word.replace("%i", "acme").replace("${PORT}", "8481") for word in words]
        assert words[0].startswith(BIN)
        check_command([words[0].removeprefix(BIN), *words[1:]])


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_services_are_held_to_their_own_places_and_user(path: Path) -> None:
    service = sections(path)["Service"]
    assert service["User"] == "debitura"
    assert service["UMask"] == "0077"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert "/var/lib/debitura" in service["ReadWritePaths"].split()
    assert "EnvironmentFile=/etc/debitura/debitura.env\n" in path.read_text()


@pytest.mark.parametrize(
    "path", [*UNITS, DEPLOY / "workspace.yaml", DEPLOY / "systemd" / "README.md"], ids=lambda path: path.name
)
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
    for name in ("nightly", "nightly@", "backup", "backup@", "partners-check", "check"):
        unit = sections(DEPLOY / "systemd" / f"debitura-{name}.service")
        assert unit["Unit"]["OnFailure"] == f"debitura-alert@%p{'-%i' * name.endswith('@')}.service"
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


def test_systemd_takes_every_unit_as_it_is(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    for path in UNITS:
        text = re.sub(rf"{BIN}[\w-]+|/etc/debitura/alert", "/bin/true", path.read_text())  # not installed here
        (tmp_path / path.name.replace("@.", "@acme.")).write_text(text)
    done = verified(analyze, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "debitura-daemon.service").write_text("[Service]\nExecStart=/bin/true\nProtectSytem=strict\n")
    assert "ProtectSytem" in verified(analyze, tmp_path).stderr


def verified(analyze: str, folder: Path) -> subprocess.CompletedProcess[str]:
    units = sorted(str(path) for path in folder.iterdir())
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"}
    return run([analyze, "verify", "--man=no", *units], env=environment)


def test_partners_have_the_units_of_a_single_one_and_the_same_confinement() -> None:
    for name in ("nightly", "backup", "webhooks"):
        one, each = (sections(DEPLOY / "systemd" / f"debitura-{name}{suffix}.service") for suffix in ("", "@"))
        differing = {key for key, value in each["Service"].items() if one["Service"].get(key) != value}
        assert differing <= {"ExecStart", "EnvironmentFile"}
        assert "--partner %i " in each["Service"]["ExecStart"]
