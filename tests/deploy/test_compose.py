"""compose.yaml and the files that it mounts: each is checked by a linter or a program of its own kind, and by what it is for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from debitura_pipeline.settings.catalogue import VARIABLES
from debitura_pipeline.settings.partner_choice import open_partners
from tests.api.test_outage import free_port
from tests.deploy.compose import COMPOSE, FOLDER, compose, filled_in, services, shell_of
from tests.deploy.programs import run
from tests.deploy.test_units import check_command
from tests.support.postgres import PostgresServer
from tests.support.sandbox import ROOT

ENVIRONMENT = ROOT / ".venv-deploy" / "bin"
OURS = {"prepare", "code-server", "daemon", "web", "worker", "lookout", "receiver-acme"}
# Of compose-lint: the image that is built here has a tag at first, and the proxy is there to be reached.
ACCEPTED = {("CL-0019", service) for service in OURS} | {("CL-0005", "proxy")}


def test_compose_file_fits_the_specification_and_its_linter_finds_nothing_else() -> None:
    parse = "import compose_spec, sys; file = compose_spec.PyOptions(apply_merge=True).from_yaml(sys.stdin.read()); file.validate()"
    text = filled_in().replace("$$", "$")
    done = run([ENVIRONMENT / "python", "-c", parse], text=text)
    assert (done.returncode, done.stderr) == (0, "")
    lint: list[str | Path] = [ENVIRONMENT / "compose-lint", "--format", "json", COMPOSE]
    report = json.loads(run(lint).stdout)
    assert {(found["rule_id"], found["service"]) for found in report["findings"]} <= ACCEPTED


def test_every_service_is_confined_limited_and_started_again() -> None:
    for name, service in services().items():
        assert service["read_only"] is True, name
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"]), name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert service["restart"] == ("no" if name == "prepare" else "unless-stopped"), name
        assert ("healthcheck" in service) == (name not in ("prepare", "worker")), name
        assert "max-size" in service["logging"]["options"], name
        assert name in OURS or service["user"].partition(":")[0].isdigit(), name


def test_only_the_proxy_is_reached_from_outside_and_what_needs_no_way_out_has_none() -> None:
    networks = compose()["networks"]
    assert {name for name, service in services().items() if "ports" in service} == {"proxy", "web"}
    assert services()["web"]["ports"] == ["127.0.0.1:3000:3000"]
    for name in ("postgres", "redis", "prepare", "code-server", "daemon", "receiver-acme"):
        assert all(networks[network].get("internal") for network in services()[name]["networks"]), name
    for name in ("postgres", "redis", "code-server", "web"):  # a webhook's way ends at the receiver
        assert "edge" not in services()[name]["networks"], name


def test_a_partner_s_secrets_are_mounted_where_they_are_used_and_nowhere_else() -> None:
    partner = {name for name in compose()["secrets"] if name.startswith("acme_")}
    having = {name for name, service in services().items() if partner & set(service.get("secrets", []))}
    assert having == {"worker", "lookout", "receiver-acme"}
    assert {Path(secret["file"]).parent for secret in compose()["secrets"].values()} == {Path("compose/secrets")}
    assert "deploy/compose/secrets" in (ROOT / ".gitignore").read_text()
    used = {name for service in services().values() for name in service.get("secrets", [])}
    assert used == compose()["secrets"].keys()


def test_commands_of_the_image_exist_and_take_their_options() -> None:
    for name in OURS:
        words = services()[name]["command"]
        check_command([str(ROOT / "workspace.yaml") if word.endswith("workspace.yaml") else word for word in words])
        test = services()[name].get("healthcheck", {"test": ["CMD-SHELL"]})["test"]
        if test[:2] != ["CMD", "python"] and test[0] == "CMD":
            check_command(test[1:])


def test_variables_are_settings_of_ours_and_secrets_come_as_files_that_the_entrypoint_reads() -> None:
    entrypoint = (ROOT / "deploy" / "entrypoint.sh").read_text()
    for service in (services()[name] for name in OURS):
        for name, value in service["environment"].items():
            plain = name.removesuffix("_FILE")
            assert plain in VARIABLES
            assert name == plain or plain in entrypoint
            if name != plain:
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_partners_file_is_one_that_the_pipeline_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBITURA_PARTNERS", str(FOLDER / "partners.toml"))
    partners, _ = open_partners()
    assert list(partners.tables) == ["acme"]
    named = {value for key, value in partners.tables["acme"].items() if key.endswith("_file")}
    assert named == {f"/run/secrets/{name}" for name in compose()["secrets"] if name.startswith("acme_")}


def test_workspace_is_where_the_code_server_listens() -> None:
    (server,) = (found["grpc_server"] for found in yaml.safe_load((FOLDER / "workspace.yaml").read_text())["load_from"])
    words = services()[server["host"]]["command"]
    assert (words[words.index("--port") + 1], words[words.index("--location-name") + 1]) == (
        str(server["port"]), server["location_name"],
    )  # fmt: skip


def test_example_of_the_environment_names_the_images_and_none_of_their_digests() -> None:
    given = dict(re.findall(r"^([A-Z_]+)=(.*)$", (FOLDER / "env.example").read_text(), re.MULTILINE))
    assert given.keys() == set(re.findall(r"\$\{([A-Z_]+):\?", COMPOSE.read_text()))
    assert set(given.values()) == {""}


def test_databases_are_made_as_the_image_of_postgres_makes_them(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Two databases and a role are made on a real server, then dropped again."""
    secret = tmp_path / "dagster_password"
    secret.write_text("it's a secret\n")
    script = (FOLDER / "databases.sql").read_text().replace("/run/secrets/dagster_password", str(secret))
    names = {"dagster": "compose_dagster", "warehouse": "compose_warehouse"}
    for old, new in names.items():
        script = re.sub(rf"(ROLE|DATABASE|OWNER) {old}\b", rf"\1 {new}", script)
    psql = shutil.which("psql")
    if psql is None:
        pytest.skip("psql is not installed (Debian: postgresql-client)")
    done = run([psql, "--no-psqlrc", postgres_server.url("postgres", "postgres")], text=script)
    assert (done.returncode, done.stderr) == (0, "")
    found = dict(
        postgres_server.admin(
            "SELECT datname, has_database_privilege('compose_dagster', datname, 'CONNECT') FROM pg_database"
        )
    )
    (password,) = postgres_server.admin("SELECT rolpassword FROM pg_authid WHERE rolname = 'compose_dagster'")[0]
    for drop in (*(f"DROP DATABASE {name}" for name in names.values()), "DROP ROLE compose_dagster"):
        postgres_server.admin(drop)
    assert (found["compose_dagster"], found["compose_warehouse"]) == (True, False)
    assert password.startswith("SCRAM-SHA-256")


def test_redis_takes_its_settings_and_its_password_from_files(tmp_path: Path) -> None:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: redis-server)")
    port, secret, config = free_port(), tmp_path / "redis_password", tmp_path / "redis.conf"
    secret.write_text("of-the-queue\n")
    config.write_text(
        (FOLDER / "redis.conf").read_text().replace("port 6379", f"port {port}").replace("/data", str(tmp_path))
    )

    def here(command: str) -> str:
        moved = command.replace("/run/secrets/redis_password", str(secret)).replace("/etc/redis.conf", str(config))
        return moved.replace("redis-cli ", f"redis-cli -p {port} ")

    with subprocess.Popen(["sh", "-c", here(shell_of("redis"))], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert any("Ready to accept connections" in line for line in server.stdout)
        check = here(services()["redis"]["healthcheck"]["test"][1].replace("$$", "$"))
        assert run(["sh", "-c", check]).returncode == 0
        asked = ["redis-cli", "-p", str(port), "config", "get", "maxmemory-policy"]
        assert "NOAUTH" in run(asked).stdout
        client = ["redis-cli", "--no-auth-warning", "-a", "of-the-queue", "-p", str(port)]
        policy = run([*client, "config", "get", "maxmemory-policy"]).stdout
        assert "noeviction" in policy
        run([*client, "shutdown"])
