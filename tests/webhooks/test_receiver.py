"""What the receiver answers, and what of a delivery it keeps: the application itself, with the clock passed in."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from debitura_pipeline.errors import WarehouseBusy
from debitura_pipeline.settings import load_settings
from debitura_pipeline.webhooks.bodies import MAX_BODY
from debitura_pipeline.webhooks.inbox import Inbox
from debitura_pipeline.webhooks.position import Position, inbox_state, read_batch, write_position
from debitura_pipeline.webhooks.receiver import Receiver
from debitura_pipeline.webhooks.segments import Received, Repeated, pack, read_entries, segments
from debitura_pipeline.webhooks.serve import make_receiver
from debitura_pipeline.webhooks.stale import read_stale
from tests.support.leaks import find
from tests.webhooks.deliveries import ENV, OTHER, PATH, SECRET, event_body, signed

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)


class Local:
    """A receiver without a socket, and its clock."""

    def __init__(self, data_dir: Path, **env: str) -> None:
        self.now, self.data_dir = NOW, data_dir
        self.settings = load_settings({"DEBITURA_DATA_DIR": str(data_dir), **ENV, **env})

    def run(self, work: Callable[[Receiver], Awaitable[None]]) -> None:
        """Start, do the work, end in good order."""

        async def whole() -> None:
            receiver, inbox = make_receiver(self.settings, lambda: self.now)
            group = receiver._group
            running = asyncio.create_task(group.run())
            try:
                await work(receiver)
            finally:
                await group.close(running)
                assert not inbox._lock.is_held

        asyncio.run(whole())

    def answers(self, *deliveries: tuple[bytes, str | None]) -> list[int]:
        """The statuses of deliveries, one after the other."""
        found: list[int] = []

        async def work(receiver: Receiver) -> None:
            for body, signature in deliveries:
                found.append((await ask(receiver, body, signature))[0])

        self.run(work)
        return found

    def entries(self) -> list[Received | Repeated]:
        return [entry for _, path in segments(self.data_dir / "inbox") for entry, _ in read_entries(path)]

    def at(self, body: bytes, seconds: float = 0.0, secret: str = SECRET) -> tuple[bytes, str]:
        """A delivery whose stamp is so far from now."""
        return body, signed(body, (self.now + timedelta(seconds=seconds)).timestamp(), secret)


async def ask(
    receiver: Receiver, body: bytes, signature: str | None, *, path: str = PATH, method: str = "POST",
    parts: list[bytes] | None = None, length: int | None = -1,
) -> tuple[int, bytes, int]:  # fmt: skip
    """Status, body and the number of parts that were read. `length`: the stated one, None to state none."""
    headers = [(b"x-debitura-signature", signature.encode())] if signature is not None else []
    if length is not None:
        headers.append((b"content-length", str(len(body) if length == -1 else length).encode()))
    left = list(parts if parts is not None else [body])
    sent: list[dict[str, Any]] = []
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    await receiver({"type": "http", "method": method, "path": path, "headers": headers}, receive, send)
    return sent[0]["status"], sent[1]["body"], read


@pytest.fixture
def local(tmp_path: Path) -> Local:
    return Local(tmp_path / "data")


def test_a_genuine_event_is_stored_once_and_redacted(local: Local) -> None:
    body = event_body("client.linked", tenant="tenant-042")
    assert local.answers(local.at(body), local.at(body), local.at(body)) == [200, 200, 200]
    assert local.answers(local.at(body)) == [200], "known from the segments after a restart"
    first, *repeats = local.entries()
    document = json.loads(body)
    assert first == Received(
        id=document["id"], type="client.linked", tenant="tenant-042", creditor_id=document["data"]["creditor"]["id"],
        at=datetime(2026, 5, 4, 9, 12, 33, tzinfo=UTC), received_at=NOW,
    )  # fmt: skip
    assert repeats == [Repeated(document["id"], 2), Repeated(document["id"], 1)]
    assert not find(local.data_dir, ["Somebody's Shop", "X-99887", "secret-link", SECRET])


def test_a_tenant_id_that_is_an_address_is_stored_as_a_pseudonym(local: Local) -> None:
    local.answers(local.at(event_body(tenant="jane.doe@example.com")))
    (entry,) = local.entries()
    assert isinstance(entry, Received)
    assert str(entry.tenant).startswith("hashed-")
    assert not find(local.data_dir, ["jane.doe"])


def test_refused_deliveries_store_nothing(local: Local) -> None:
    body = event_body()
    good = signed(body, NOW.timestamp())
    forged = [
        (body, None),
        (body, ""),
        (body, good.upper()),
        (body, good.replace("v1=", "v1=00")),
        (body + b" ", good),
        (event_body(), good),
        (body, good.replace("t=", "t=1")),
        (body, f"{good},t=1"),
        (body, good.replace("t=", "t=-")),
        (body, f"t={int(NOW.timestamp())}"),
        (body, f"t={int(NOW.timestamp())},v1=é".encode().decode("latin-1")),
        local.at(body, secret=OTHER),
        local.at(body, -301),
        local.at(body, 31),
    ]
    assert local.answers(*forged) == [401] * len(forged)
    changes: list[dict[str, Any]] = [
        {"id": 7}, {"id": ""}, {"event": None}, {"timestamp": "soon"}, {"timestamp": 1}, {"data": []}
    ]  # fmt: skip
    malformed = [
        b"", b"{", b"[]", b"null", b'"text"', b"[" * 100_000, b"\xff\xfe", event_body()[:-1],
        *(json.dumps({name: value for name, value in json.loads(body).items() if name != left_out}).encode()
          for left_out in ("id", "event", "timestamp", "data")),
        *(json.dumps(json.loads(body) | change).encode()
          for change in changes),
    ]  # fmt: skip
    assert local.answers(*(local.at(text) for text in malformed)) == [400] * len(malformed)
    assert local.entries() == []
    assert local.answers(local.at(body, -300), local.at(event_body(), 30)) == [200, 200], "at the limits"


def test_any_configured_secret_and_the_tolerance_of_the_settings_count(tmp_path: Path) -> None:
    """During a rotation both secrets are in use."""
    settings = {"DEBITURA_WEBHOOK_SECRETS": f"{OTHER}, {SECRET}", "DEBITURA_WEBHOOK_TOLERANCE": "600"}
    local = Local(tmp_path / "data", **settings)
    old, new, late = event_body(), event_body(), event_body()
    assert local.answers(local.at(old), local.at(new, secret=OTHER), local.at(late, -599)) == [200, 200, 200]


def test_an_oversized_delivery_is_refused_unread(local: Local) -> None:
    async def work(receiver: Receiver) -> None:
        assert (await ask(receiver, b"", "x", length=MAX_BODY + 1))[::2] == (413, 0)
        parts = [bytes(2**18)] * 10
        status, _, read = await ask(receiver, b"", "x", parts=parts, length=None)
        assert (status, read) == (413, 5), "without a stated length it stops where the limit is passed"
        whole = event_body(padding="x" * (MAX_BODY - len(event_body(padding=""))))
        assert (await ask(receiver, *local.at(whole), length=None))[0] == 200
        assert (await ask(receiver, *local.at(whole + b" "), length=None))[0] == 413

    local.run(work)
    assert len(local.entries()) == 1


def test_bodies_share_a_limit_of_memory(local: Local) -> None:
    """A thousand connections with a mebibyte each, all of it unsigned, were a gibibyte."""

    async def work(receiver: Receiver) -> None:
        receiver.memory.limit = 2 * MAX_BODY
        arrived, may_go_on, sent = asyncio.Semaphore(0), asyncio.Event(), list[int]()

        async def slow(parts: list[bytes]) -> None:
            async def receive() -> dict[str, Any]:
                if not parts:
                    arrived.release()
                    await may_go_on.wait()
                return {
                    "type": "http.request",
                    "body": parts.pop() if parts else b"",
                    "more_body": not may_go_on.is_set(),
                }

            async def send(message: Any) -> None:
                sent.append(message.get("status", 0))

            await receiver({"type": "http", "method": "POST", "path": PATH, "headers": []}, receive, send)

        held = [asyncio.create_task(slow([bytes(MAX_BODY)])) for _ in range(2)]
        for _ in held:
            await arrived.acquire()
        assert receiver.health()["body_bytes"] == 2 * MAX_BODY
        assert (await ask(receiver, *local.at(event_body())))[0] == 503
        health = receiver.health()
        assert (health["overloaded"], health["not_stored"], health["status"]) == (1, 1, "ok")
        may_go_on.set()
        await asyncio.gather(*held)
        assert [status for status in sent if status] == [401, 401]
        assert receiver.memory.used == 0
        assert (await ask(receiver, *local.at(event_body())))[0] == 200

    local.run(work)


def test_stale_deliveries_of_unknown_events_are_counted(local: Local) -> None:
    """It is not documented whether repeats are signed anew: events that only ever come too late must be told."""
    known, lost = event_body(), event_body()
    assert local.answers(local.at(known), local.at(known, -400), local.at(lost, -400), local.at(b"{}", -400)) == [
        200, 401, 401, 401,
    ]  # fmt: skip
    assert read_stale(local.data_dir / "inbox").count == 1
    assert local.answers(local.at(lost, -400, secret=OTHER)) == [401]
    assert read_stale(local.data_dir / "inbox").count == 1
    assert [entry.id for entry in local.entries()] == [json.loads(known)["id"]]


def test_other_spellings_and_unknown_types_are_kept(local: Local) -> None:
    document = json.loads(event_body("payment.created", event_id="EVT-1"))
    pascal = {name[0].upper() + name[1:]: value for name, value in document.items()}
    pascal["Data"] = {"ExternalTenantId": "tenant-007", "CaseId": "0B9F4A52-6F0E-4C1E-8A55-3D1A7C2E9B77"}
    assert local.answers(local.at(json.dumps(pascal).encode())) == [200]
    (entry,) = local.entries()
    assert isinstance(entry, Received)
    assert (entry.id, entry.type, entry.tenant) == ("evt-1", "payment.created", "tenant-007")
    assert entry.case_id == "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77"


def test_other_paths_and_methods(local: Local) -> None:
    async def work(receiver: Receiver) -> None:
        assert (await ask(receiver, b"", None, method="GET"))[0] == 405
        assert (await ask(receiver, b"", None, path="/healthz"))[0] == 405
        assert (await ask(receiver, b"", None, path="/"))[0] == 404
        status, body, _ = await ask(receiver, b"", None, path="/healthz", method="GET")
        assert (status, json.loads(body)["status"]) == (200, "ok")

    local.run(work)


@contextmanager
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Each fdatasync is recorded and takes a while."""
    import time

    calls: list[int] = []

    def slow(handle: int) -> None:
        time.sleep(0.05)
        calls.append(handle)

    monkeypatch.setattr(os, "fdatasync", slow)
    yield calls


def test_events_that_wait_share_one_write(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [event_body() for _ in range(40)]

    async def work(receiver: Receiver) -> None:
        asked = [ask(receiver, *local.at(body)) for body in [*bodies, bodies[0]]]
        assert {status for status, *_ in await asyncio.gather(*asked)} == {200}

    with slow_disk(monkeypatch) as calls:
        local.run(work)
    assert len(calls) <= 3
    events = [entry.id for entry in local.entries() if isinstance(entry, Received)]
    assert sorted(events) == sorted(json.loads(body)["id"] for body in bodies)


def test_a_full_queue_is_503(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(receiver: Receiver) -> None:
        receiver._group._max_queued = 3
        asked = [ask(receiver, *local.at(event_body())) for _ in range(8)]
        statuses = [status for status, *_ in await asyncio.gather(*asked)]
        assert (statuses.count(200), statuses.count(503)) == (3, 5)

    with slow_disk(monkeypatch):
        local.run(work)
    assert len(local.entries()) == 3


def test_a_disk_error_is_503_and_the_next_delivery_is_stored(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fdatasync nobody knows what is on the disk: the segment is left, and nothing answered 200 is in doubt."""
    real, fails = os.fdatasync, [False, True, True, False]

    def failing(handle: int) -> None:
        if fails.pop(0):
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fdatasync", failing)
    bodies = [event_body() for _ in range(2)]
    found: list[str] = []

    async def work(receiver: Receiver) -> None:
        statuses = [(await ask(receiver, *local.at(bodies[number])))[0] for number in (0, 1, 1)]
        found.append(receiver.health()["status"])
        statuses.append((await ask(receiver, *local.at(bodies[1])))[0])
        found.append(receiver.health()["status"])
        assert statuses == [200, 503, 503, 200]

    local.run(work)
    assert found == ["failing", "ok"]
    assert [entry.id for entry in local.entries()] == [json.loads(body)["id"] for body in bodies]


def _folder_moved(inbox: Path) -> None:
    inbox.rename(inbox.with_name("moved"))


def _folder_replaced(inbox: Path) -> None:
    """As an operator does who puts a backup there; another receiver has begun a segment of the same number."""
    inbox.rename(inbox.with_name("moved"))
    inbox.mkdir()
    (inbox / "receiver.lock").touch()
    (inbox / "0000000001.segment").touch()


def _segment_replaced(inbox: Path) -> None:
    (_, path) = segments(inbox)[-1]
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)


INBOX_LOST = {
    "folder moved": _folder_moved,
    "folder deleted": shutil.rmtree,
    "folder replaced": _folder_replaced,
    "lock file deleted": lambda inbox: (inbox / "receiver.lock").unlink(),
    "segment deleted": lambda inbox: segments(inbox)[-1][1].unlink(),
    "segment replaced": _segment_replaced,
    "segment cut": lambda inbox: os.truncate(segments(inbox)[-1][1], 40),
}


@pytest.mark.parametrize("lose", INBOX_LOST.values(), ids=INBOX_LOST)
def test_nothing_is_acknowledged_once_the_inbox_is_gone(local: Local, lose: Callable[[Path], None]) -> None:
    """Events would go into a file that has no name any more, or that is not read where it was cut."""
    inbox, first, second = local.data_dir / "inbox", event_body(), event_body()

    async def work(receiver: Receiver) -> None:
        assert (await ask(receiver, *local.at(first)))[0] == 200
        lose(inbox)
        before = sorted((path.name, path.stat().st_size) for path in inbox.glob("*")) if inbox.exists() else []
        assert (await ask(receiver, *local.at(second)))[0] == 503
        assert [(await ask(receiver, *local.at(body)))[0] for body in (first, second)] == [503, 503]
        local.now += timedelta(hours=1)
        assert (await ask(receiver, b"", None, path="/healthz", method="GET"))[0] == 503
        assert receiver.fault is not None and str(inbox) in str(receiver.fault)
        if lose is _folder_replaced:
            assert sorted((path.name, path.stat().st_size) for path in inbox.glob("*")) == before, "not its files"

    local.run(work)
    assert local.answers(local.at(first), local.at(second)) == [200, 200], "a new receiver takes what is there"
    assert {json.loads(body)["id"] for body in (first, second)} <= {entry.id for entry in local.entries()}


def test_an_inbox_that_goes_away_during_a_write_is_noticed_before_the_answer(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, inbox = os.fdatasync, local.data_dir / "inbox"

    def slow(handle: int) -> None:
        real(handle)
        if not inbox.with_name("moved").exists():
            _folder_moved(inbox)

    monkeypatch.setattr(os, "fdatasync", slow)

    async def work(receiver: Receiver) -> None:
        assert (await ask(receiver, *local.at(event_body())))[0] == 503

    local.run(work)


def test_a_receiver_writes_to_no_inbox_whose_lock_it_does_not_hold(local: Local) -> None:
    """Another receiver may have the new one."""
    inbox = local.data_dir / "inbox"

    async def work(receiver: Receiver) -> None:
        _folder_moved(inbox)
        inbox.mkdir()
        assert (await ask(receiver, *local.at(event_body())))[0] == 503
        assert list(inbox.iterdir()) == []

    local.run(work)


def test_a_torn_tail_is_cut_and_nothing_before_it_is_lost(local: Local) -> None:
    bodies = [event_body() for _ in range(3)]
    assert local.answers(*(local.at(body) for body in bodies)) == [200] * 3
    (_, path) = segments(local.data_dir / "inbox")[-1]
    whole = path.read_bytes()
    ends = [end for _, end in read_entries(path)]
    for tail in (whole[ends[1] : -1], bytes(100), b"\xff" * 7, whole[ends[1] : ends[1] + 9] + bytes(200)):
        path.write_bytes(whole[: ends[1]] + tail)
        with_inbox = Inbox(local.data_dir, NOW)
        assert with_inbox.torn_bytes == len(tail)
        assert len(with_inbox.known) == 2
        with_inbox.close()
        assert path.read_bytes() == whole[: ends[1]]
    assert local.answers(*(local.at(body) for body in bodies)) == [200] * 3
    assert [entry.id for entry in local.entries() if isinstance(entry, Received)] == [
        json.loads(body)["id"] for body in bodies
    ]


@pytest.mark.parametrize("damaged", [0, 5, 9, 60])
def test_damaged_event_costs_no_other(local: Local, damaged: int) -> None:
    """Its length, its checksum, its beginning or its middle: what stands behind it was answered 200, too."""
    bodies = [event_body() for _ in range(5)]
    assert local.answers(*(local.at(body) for body in bodies)) == [200] * 5
    (_, path) = segments(local.data_dir / "inbox")[-1]
    starts = [0, *(end for _, end in read_entries(path))]
    content = bytearray(path.read_bytes())
    content[starts[1] + damaged] ^= 1
    content[starts[3] + damaged] ^= 1
    path.write_bytes(bytes(content) + bytes(7))
    inbox = Inbox(local.data_dir, NOW)
    assert (inbox.torn_bytes, inbox.damaged_bytes) == (7, starts[2] - starts[1] + starts[4] - starts[3])
    assert len(inbox.known) == 3
    inbox.close()
    assert path.read_bytes() == bytes(content)
    left = [json.loads(bodies[number])["id"] for number in (0, 2, 4)]
    assert [entry.id for entry in local.entries() if isinstance(entry, Received)] == left
    batch = read_batch(local.data_dir, Position(), 2)
    assert len(batch.entries) == 2
    rest = read_batch(local.data_dir, Position(batch.segment, batch.offset))
    assert [one.id for one in (*batch.entries, *rest.entries)] == left


def test_old_ids_are_forgotten_and_old_segments_removed(local: Local) -> None:
    body = event_body()
    assert local.answers(local.at(body)) == [200]
    (_, path) = segments(local.data_dir / "inbox")[0]
    local.now = NOW + timedelta(days=13)
    assert local.answers(local.at(body)) == [200]
    local.now = NOW + timedelta(days=15)
    assert local.answers(local.at(body)) == [200]
    assert [type(entry) for entry in local.entries()] == [Received, Repeated, Received]
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    local.now = NOW + timedelta(days=29)
    Inbox(local.data_dir, local.now).close()
    assert path.exists(), "nobody has read it yet, whatever its age"
    write_position(local.data_dir, Position(segments(local.data_dir / "inbox")[1][0]))
    Inbox(local.data_dir, local.now).close()
    assert not path.exists()


def test_a_segment_that_was_read_is_never_written_again(local: Local) -> None:
    """Somebody removes the segments and leaves the position: new events would count as read for ever."""
    assert local.answers(local.at(event_body())) == [200]
    ((number, path),) = segments(local.data_dir / "inbox")
    write_position(local.data_dir, Position(number, path.stat().st_size))
    path.unlink()
    assert local.answers(local.at(event_body())) == [200]
    assert inbox_state(local.data_dir).unread == 1


@pytest.mark.parametrize("appended", [1, 2, 3, 4])
def test_what_is_appended_to_a_segment_that_was_cut_is_read(local: Local, appended: int) -> None:
    """By a restored backup, or to free space. Records of the same length make the old offset one between records again."""
    assert local.answers(*(local.at(event_body()) for _ in range(4))) == [200] * 4
    ((_, path),) = segments(local.data_dir / "inbox")
    batch = read_batch(local.data_dir, Position())
    write_position(local.data_dir, Position(batch.segment, batch.offset, checksum=batch.checksum))
    assert inbox_state(local.data_dir).unread == 0
    old = [entry for entry in batch.entries if isinstance(entry, Received)]
    new = [replace(old[0], id=str(uuid.uuid4())) for _ in range(appended)]
    os.truncate(path, batch.offset // 2)
    with path.open("ab") as file:
        file.writelines(map(pack, new))
    read = read_batch(local.data_dir, Position(batch.segment, batch.offset, checksum=batch.checksum))
    assert list(read.entries) == [*old[:2], *new]
    write_position(local.data_dir, Position(read.segment, read.offset, checksum=read.checksum))
    assert inbox_state(local.data_dir).unread == 0


def test_a_position_without_a_checksum_is_gone_on_from_unless_its_segment_is_shorter(local: Local) -> None:
    """As earlier versions have written it."""
    assert local.answers(local.at(event_body()), local.at(event_body())) == [200, 200]
    ((number, path),) = segments(local.data_dir / "inbox")
    write_position(local.data_dir, Position(number, path.stat().st_size))
    assert inbox_state(local.data_dir).unread == 0
    os.truncate(path, path.stat().st_size // 2)
    assert inbox_state(local.data_dir).unread == 1


def test_files_are_private_and_a_second_receiver_is_refused(local: Local) -> None:
    first = Inbox(local.data_dir, NOW)
    first.append([Received("a", "b", NOW, NOW)], NOW)
    for path in (local.data_dir / "inbox").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(WarehouseBusy, match="Another receiver has the inbox"):
        Inbox(local.data_dir, NOW)
    first.close()
    Inbox(local.data_dir, NOW).close()
