"""The image's files, as far as they can be tried without a container engine; `python -m tests.deploy.image` does the rest."""

from __future__ import annotations

import http.client
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.test_outage import free_port
from tests.deploy.compose import FOLDER, services
from tests.deploy.containerfile import only, read_stages
from tests.deploy.programs import run
from tests.support.sandbox import ROOT
from tests.webhooks.deliveries import PATH, RunningReceiver, event_body, signed

CONTAINERFILE = ROOT / "deploy" / "Containerfile"
ENTRYPOINT = ROOT / "deploy" / "entrypoint.sh"
ENVIRONMENT = ROOT / ".venv-deploy" / "bin"
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


def test_linters_of_their_own_kind_find_nothing() -> None:
    for name, path in (("hadolint", CONTAINERFILE), ("shellcheck", ENTRYPOINT)):
        done = run([ENVIRONMENT / name, path])
        assert (done.returncode, done.stdout) == (0, "")


def test_base_image_has_to_be_given_with_its_digest() -> None:
    build, final = read_stages(CONTAINERFILE)
    assert {stage[0].text.split()[0] for stage in (build, final)} == {"${PYTHON_IMAGE}"}
    check = only(build, "RUN")[0].text
    for image, status in (("python:3.13-slim", 1), (f"python:3.13-slim@sha256:{'0' * 64}", 0)):
        assert run(["sh", "-c", check], env={"PYTHON_IMAGE": image}).returncode == status


def test_packages_are_installed_by_their_hashes_and_the_image_s_user_is_nobody_with_rights() -> None:
    build, final = read_stages(CONTAINERFILE)
    installs = [found.text for found in only(build, "RUN") if "pip install" in found.text]
    assert all("--require-hashes" in text or "--no-index" in text for text in installs)
    assert [user.text for user in only(final, "USER")] == ["10001:10001"]
    assert not only(final, "ADD") and not only(build, "ADD")


def test_context_has_what_is_copied_and_no_more() -> None:
    """Secrets cannot come into a layer: what is not named is not sent to the engine."""
    assert IGNORED[0] == "*"
    allowed = {line.removeprefix("!") for line in IGNORED if line.startswith("!")}
    copied = {
        path.relative_to(ROOT).as_posix()
        for instruction in only(read_stages(CONTAINERFILE)[0], "COPY")
        for word in instruction.words()[:-1]
        for path in ROOT.glob(word)
    }
    assert copied == {name for name in allowed if (ROOT / name).exists()}
    assert not any(name.startswith((".env", "data", ".git", "deploy/compose")) for name in allowed)


def start(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **variables}
    return run([ENTRYPOINT, *command], env=environment)


def test_secrets_come_from_files_into_the_process_alone(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text('it\'s $HOME; "quoted"\n')
    done = start(["env"], DEBITURA_API_KEY_FILE=str(key), DEBITURA_PRIVACY="full")
    assert 'DEBITURA_API_KEY=it\'s $HOME; "quoted"' in done.stdout.splitlines()
    assert "DEBITURA_API_KEY_FILE" not in done.stdout
    missing = start(["env"], DAGSTER_POSTGRES_URL_FILE=str(tmp_path / "none"))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith(f"DAGSTER_POSTGRES_URL_FILE: {tmp_path}/none cannot be read by user ")


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[tuple[int, int, RunningReceiver]]:
    """nginx with our file, on the address of a real receiver; its port, that of its health, and the receiver."""
    nginx = shutil.which("nginx")
    if nginx is None:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    key, certificate, config = (tmp_path / name for name in ("key", "certificate", "nginx.conf"))
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hooks.example.com"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    receiver, port, health = RunningReceiver(tmp_path / "data"), free_port(), free_port()
    text = (FOLDER / "nginx.conf").read_text()
    for ours, here in (
        ("/tmp/", f"{tmp_path}/"),
        ("/run/secrets/tls_certificate", str(certificate)),
        ("/run/secrets/tls_key", str(key)),
        ("listen 8443", f"listen 127.0.0.1:{port}"),
        ("127.0.0.1:8081", f"127.0.0.1:{health}"),
        ("receiver-acme:8480", f"127.0.0.1:{receiver.port}"),
    ):
        assert ours in text
        text = text.replace(ours, here)
    config.write_text(text)
    words = [word.replace("/etc/debitura/nginx.conf", str(config)) for word in services()["proxy"]["command"]]
    try:
        subprocess.run([nginx, *words[:-2], "-t"], check=True, capture_output=True)
        server = subprocess.Popen([nginx, *words], stderr=subprocess.DEVNULL)
        try:
            yield port, health, receiver
        finally:
            server.terminate()
            server.wait(timeout=10)
    finally:
        receiver.stop()


def test_proxy_passes_deliveries_unchanged_and_nothing_else(proxy: tuple[int, int, RunningReceiver]) -> None:
    port, health, receiver = proxy
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def ask(method: str, path: str, body: bytes = b"") -> int:
        for _ in range(200):  # until it listens: it has been started a moment ago
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
            try:
                connection.request(method, path, body, {"X-Debitura-Signature": signed(body)})
                return connection.getresponse().status
            except ConnectionRefusedError:
                continue
            finally:
                connection.close()
        raise AssertionError("the proxy does not listen")

    body = event_body()
    assert ask("POST", "/webhooks/acme", body) == 200
    assert receiver.health()["accepted"] == 1
    assert [ask("GET", "/healthz"), ask("POST", PATH, body), ask("GET", "/")] == [404, 404, 404]
    assert ask("POST", "/webhooks/acme", bytes(2**20 + 1)) == 413
    plain = http.client.HTTPConnection("127.0.0.1", health, timeout=10)
    plain.request("GET", "/")
    assert plain.getresponse().status == 204
    plain.close()
