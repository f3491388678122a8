"""`debitura webhooks serve` as a process: signals, kills, slow senders, a full disk."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from debitura_pipeline.settings import key_fingerprint, load_settings
from debitura_pipeline.warehouse.identity import Identity
from tests.support.command import debitura
from tests.support.disk import can_mount, mounted
from tests.support.leaks import find
from tests.webhooks.deliveries import ENV, PATH, SECRET, RunningReceiver, event_body, signed
from tests.webhooks.loads import kill_in_mid_load, stored

FAST = "import debitura_pipeline.webhooks.http_protocol as p; p.LimitedProtocol.request_s = 0.4"
ONE_STREAM = "os.dup2(1, 2)"  # standard error goes where standard output goes


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[RunningReceiver]:
    running = RunningReceiver(tmp_path / "data", before=FAST)
    yield running
    running.stop()


def test_deliveries_over_http(receiver: RunningReceiver, tmp_path: Path) -> None:
    body = event_body()
    assert [receiver.post(body), receiver.post(body)] == [200, 200]
    assert receiver.post(body, signed(body, at=0)) == 401
    assert receiver.post(b"{}") == 400
    assert receiver.post(bytes(2**20 + 1)) == 413
    assert receiver.post(body, path="/elsewhere") == 404
    assert receiver.post(body, method="PUT") == 405
    health = receiver.health()
    counted = {name: health[name] for name in ("accepted", "refused", "malformed", "oversized", "repeated", "queued")}
    assert counted == {"accepted": 2, "refused": 1, "malformed": 1, "oversized": 1, "repeated": 1, "queued": 0}
    second = debitura("webhooks", "serve", "--port", "0", env={**ENV, "DEBITURA_DATA_DIR": str(tmp_path / "data")})
    assert second.status == 1
    assert "Another receiver has the inbox" in second.error_line
    taken = debitura(
        "webhooks", "serve", "--port", str(receiver.port), env={**ENV, "DEBITURA_DATA_DIR": str(tmp_path / "b")}
    )
    assert taken.status == 1
    assert "cannot listen" in taken.error_line
    assert receiver.terminate() == 0
    assert stored(tmp_path / "data") == {json.loads(body)["id"]}
    assert not find(tmp_path / "data", [SECRET, "K7TRW2QD", "secret-link"])


def test_slow_senders_are_ended_and_leave_nothing(receiver: RunningReceiver, tmp_path: Path) -> None:
    """Each would hold a connection for ever: one that says nothing, one that trickles its headers, one its body."""
    body = event_body()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Debitura-Signature: {signed(body)}\r\n"
    starts = {
        "silent": b"",
        "headers": head.encode(),
        "body": f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:9],
    }
    for name, start in starts.items():
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as link:
            link.sendall(start)
            answer = b""
            while part := link.recv(4_096):
                answer += part
        assert answer.startswith(b"HTTP/1.1 408 ") is (name != "silent"), name
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as link:
        link.sendall(head.encode() + b"X-Filler: " + b"x" * 70_000)
        assert link.recv(4_096).startswith(b"HTTP/1.1 431 ")
    assert receiver.post(body) == 200
    assert len(stored(tmp_path / "data")) == 1


def test_headers_that_arrive_at_once_have_a_limit_too(receiver: RunningReceiver, tmp_path: Path) -> None:
    bodies = [event_body() for _ in range(2)]
    for body, filler, status in zip(bodies, (60_000, 66_000), (200, 431), strict=True):
        answer = receiver.raw(body, f"X-Filler: {'x' * filler}\r\nContent-Length: {len(body)}\r\n")
        assert answer.startswith(f"HTTP/1.1 {status} "), (filler, answer)
        assert answer.count("HTTP/1.1") == 1, "what follows on the connection is not read"
    assert stored(tmp_path / "data") == {json.loads(bodies[0])["id"]}


def test_a_length_that_is_no_sensible_number_is_refused(receiver: RunningReceiver, tmp_path: Path) -> None:
    """Python's own limit on the digits of a number was an error of the receiver, and not counted."""
    body = event_body()
    assert receiver.raw(body, f"Content-Length: {'0' * 5_000}{len(body)}\r\n").startswith("HTTP/1.1 413 ")
    assert receiver.health()["oversized"] == 1
    assert receiver.raw(body, f"Content-Length: 000{len(body)}\r\n").startswith("HTTP/1.1 200 ")
    for value in ("9" * 25, f"+{len(body)}", "-1", "0x10", "", "1_0"):
        assert receiver.raw(body, f"Content-Length: {value}\r\n").startswith(("HTTP/1.1 400 ", "HTTP/1.1 413 ")), value
    assert stored(tmp_path / "data") == {json.loads(body)["id"]}


def test_without_its_privacy_key_it_is_refused(tmp_path: Path) -> None:
    """Tenants would be stored under another key, and match no client once the right one is back."""
    data = tmp_path / "data"
    env = {**ENV, "DEBITURA_DATA_DIR": str(data), "DEBITURA_PRIVACY_KEY": ""}
    key = load_settings(env).obtain_privacy_key()
    identity = Identity("test", "api.example.com", None, key_fingerprint(key))
    (data / "identity.json").write_text(json.dumps(asdict(identity)))
    receiver = RunningReceiver(data, env=env)  # whatever API the settings name: it calls none
    assert receiver.post(event_body()) == 200
    receiver.stop()
    other = RunningReceiver(data, env={**env, "DEBITURA_PRIVACY_KEY": "another key for tests only 987654321"})
    assert other.post(event_body()) == 200
    other.stop()
    assert any("privacy key" in line and "match no client" in line for line in other.said), other.said
    assert not any("privacy key" in line for line in receiver.said)
    key_file = data / "privacy.key"
    key_file.unlink()
    said = debitura("webhooks", "serve", "--port", "0", env=env)
    assert said.status == 1 and "privacy key" in said.error_line
    assert not key_file.exists()


def test_without_secrets_it_is_refused_in_one_line(tmp_path: Path) -> None:
    said = debitura("webhooks", "serve", env={"DEBITURA_DATA_DIR": str(tmp_path / "data")})
    assert said.status == 2
    assert "DEBITURA_WEBHOOK_SECRETS is not set" in said.error_line
    assert not (tmp_path / "data").exists()


def test_no_event_answered_200_is_lost_when_the_receiver_is_killed(tmp_path: Path) -> None:
    answered, _ = kill_in_mid_load(tmp_path / "data", 3, 0.4)
    assert answered
    assert answered <= stored(tmp_path / "data")


def test_a_receiver_whose_inbox_is_gone_ends_and_a_new_one_loses_nothing(tmp_path: Path) -> None:
    """It went on answering 200, and wrote into a file without a name."""
    data, bodies = tmp_path / "data", [event_body() for _ in range(2)]
    running = RunningReceiver(data, before=ONE_STREAM)
    assert running.post(bodies[0]) == 200
    (data / "inbox").rename(data / "moved")
    with suppress(ConnectionError):  # it may have noticed before
        assert running.post(bodies[1]) == 503
    status, said = running.ended()
    assert status == 1
    (line,) = said.splitlines()
    assert f"The inbox {data / 'inbox'} was changed by another program" in line
    anew = RunningReceiver(data)
    try:
        assert anew.post(bodies[1]) == 200
        assert stored(data) == {json.loads(bodies[1])["id"]}
    finally:
        anew.stop()


def test_an_idle_receiver_whose_lock_file_is_gone_ends(tmp_path: Path) -> None:
    """A second one could take the inbox."""
    data = tmp_path / "data"
    running = RunningReceiver(data)
    (data / "inbox" / "receiver.lock").unlink()
    assert running.ended()[0] == 1


@pytest.mark.skipif(not can_mount(), reason="mounting a disk of its own takes root")
def test_a_full_disk_is_503_and_recovers_by_itself(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", size=1_024) as disk:
        data, filler = disk.place / "data", disk.place / "filler"
        running = RunningReceiver(data)
        try:
            bodies = [event_body() for _ in range(3)]
            assert running.post(bodies[0]) == 200
            with filler.open("ab", buffering=0) as file, suppress(OSError):
                while file.write(bytes(4_096)):
                    pass
            while running.post(body := event_body()) == 200:  # what its last block still holds
                bodies.append(body)
            assert [running.post(body), running.post(bodies[0])] == [503, 200]
            assert running.health_status() == 503
            filler.unlink()
            assert [running.post(body), running.health_status()] == [200, 200]
            assert {json.loads(one)["id"] for one in (body, bodies[0])} <= stored(data)
        finally:
            running.stop()
