"""The receiver as an ASGI application: `POST /webhooks/debitura` and `GET /healthz`.

Checks, in this order: size (413), memory for the body (503), signature and stamp (401), envelope (400), known id (200 at once),
storage (503 if it fails).
It never answers 410, which would switch the subscription off.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from debitura_pipeline.webhooks.bodies import OVERLOADED, BodyMemory, Receive, is_oversized, read_body
from debitura_pipeline.webhooks.envelope import MalformedEventError, id_of, parse_event
from debitura_pipeline.webhooks.group_commit import GroupCommit
from debitura_pipeline.webhooks.inbox import InboxReplaced
from debitura_pipeline.webhooks.signature import SignatureVerifier, Verdict

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATH, HEALTH = "/webhooks/debitura", "/healthz"
METHODS = {PATH: ("POST",), HEALTH: ("GET", "HEAD")}
FAILING_FOR = timedelta(minutes=1)
SLOW_QUEUE_S = 10.0  # the sender gives up after ten seconds
OUTCOMES = {200: "accepted", 400: "malformed", 401: "refused", 413: "oversized", 503: "not_stored"}


class Receiver:
    """`stored`: maps a tenant id to the one that is stored. `note_stale`: called with the instant of each delivery that is
    genuine, too old and not known."""

    def __init__(
        self,
        verifier: SignatureVerifier,
        group: GroupCommit,
        stored: Callable[[str], str],
        now: Callable[[], datetime],
        note_stale: Callable[[datetime], None],
    ) -> None:
        self._verifier, self._group, self._stored = verifier, group, stored
        self._now, self._note_stale = now, note_stale
        self.counts: Counter[str] = Counter()
        self.memory = BodyMemory()
        self._last_event_at: datetime | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def fault(self) -> InboxReplaced | None:
        """Why it stores nothing any more and must end; None while all is well."""
        return self._group.fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["path"] not in METHODS:
            await _answer(send, 404)
        elif scope["method"] not in METHODS[scope["path"]]:
            await _answer(send, 405, [(b"allow", ", ".join(METHODS[scope["path"]]).encode())])
        elif scope["path"] == HEALTH:
            document = self.health()
            is_fine = document["status"] == "ok"
            await _answer(
                send, 200 if is_fine else 503, [(b"content-type", b"application/json")], msgspec.json.encode(document)
            )
        else:
            with self.memory.of_one() as take:
                status = await self._receive(scope["headers"], receive, take)
            if status is not None:
                self.counts[OUTCOMES[status]] += 1
                await _answer(send, status)

    def health(self) -> dict[str, Any]:
        """What `/healthz` answers: state of the queue, the last commit, and counters since the start."""
        group, now = self._group, self._now()
        oldest = group.oldest_queued_at
        oldest_s = (now - oldest).total_seconds() if oldest else 0.0
        # Only for a minute: a proxy that sends nothing to a failing receiver would never see it recover.
        has_failed = (
            group.failed_at is not None and group.last_error is not None and now - group.failed_at < FAILING_FOR
        )
        is_fine = self.fault is None and not has_failed and oldest_s < SLOW_QUEUE_S
        return {
            "status": "ok" if is_fine else "failing",
            "queued": group.queued,
            "oldest_queued_s": oldest_s,
            "last_commit_at": group.last_commit_at,
            "last_commit_age_s": (now - group.last_commit_at).total_seconds() if group.last_commit_at else None,
            "last_error": group.last_error,
            "last_event_at": self._last_event_at,
            "commits": group.commits,
            "body_bytes": self.memory.used,
            "overloaded": self.counts["overloaded"],
            "repeated": self.counts["repeated"],
            "stale": self.counts["stale"],
            **{name: self.counts[name] for name in OUTCOMES.values()},
        }

    async def _receive(
        self, headers: list[tuple[bytes, bytes]], receive: Receive, take: Callable[[int], bool]
    ) -> int | None:
        """The status of one delivery; None if the sender is gone."""
        signatures, length = [], None
        for name, value in headers:
            if name == b"x-debitura-signature":
                signatures.append(value)
            elif name == b"content-length":
                length = value
        if length is not None and is_oversized(length):
            return 413
        body = await read_body(receive, take)
        if not isinstance(body, bytes | bytearray):
            self.counts["overloaded"] += body == OVERLOADED
            return body
        now = self._now()
        verdict = self._verifier.verify(signatures[0] if len(signatures) == 1 else None, body, now.timestamp())
        if verdict is not Verdict.GENUINE:
            if verdict is Verdict.STALE:
                self._stale(body, now)
            return 401
        return await self._store(body, now)

    async def _store(self, body: bytes | bytearray, now: datetime) -> int:
        try:
            event = parse_event(body, now, self._stored)
        except MalformedEventError:
            return 400
        self._last_event_at = now
        if self._group.is_known(event.id):
            self.counts["repeated"] += 1
            self._group.count_repeat(event.id)
            return 200
        return 200 if await self._group.store(event) else 503

    def _stale(self, body: bytes | bytearray, now: datetime) -> None:
        found = id_of(body)
        if found is not None and not self._group.is_known(found):
            self.counts["stale"] += 1
            self._note_stale(now)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Start the writing of groups, and end it after the last delivery is answered."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._running = asyncio.create_task(self._group.run())
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self._running is not None:
                    await self._group.close(self._running)
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]] | None = None, body: bytes = b"") -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*(headers or ()), length]})
    await send({"type": "http.response.body", "body": body})
