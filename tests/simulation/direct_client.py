"""The way from the pipeline to a simulated world without a socket: what stands in for `ApiClient`, and for its clocks.

The same ways to ask, with the world free to move before every answer. Answers come in an order that the seed decides, not
in the order of asking, as over real connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import datetime
from random import Random
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

from debitura_pipeline.api.client import RequestStats, Translate
from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.api.encoding import parse_document
from debitura_pipeline.api.error_body import parse_http_date
from debitura_pipeline.api.page_metadata import Page, parse_page_metadata
from debitura_pipeline.contract.listings import Query
from debitura_pipeline.errors import RateLimitExhausted, RefusedError
from debitura_sandbox.api.http import Request
from debitura_sandbox.world.columns import from_us, to_us
from tests.simulation.world import SimWorld

T = TypeVar("T")
LONGEST_DETOUR = 3  # turns of the event loop that an answer may take


class DirectClient:
    """`before_answer` may move the world; `ends_at`: the request before which the allowance is spent, if any."""

    def __init__(
        self,
        world: SimWorld,
        page_rows: int,
        random: Random,
        before_answer: Callable[[], None] = lambda: None,
        ends_at: int | None = None,
        concurrency_limit: int = 8,
    ) -> None:
        self._world, self._page_rows, self._random = world, page_rows, random
        self._before_answer, self._ends_at = before_answer, ends_at
        self.concurrency_limit = concurrency_limit
        self.translate: Translate | None = None
        self.stats = RequestStats()
        self.server_time: datetime | None = None
        self.asked: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to close."""

    async def page(self, query: Query, page: int, *, with_totals: bool = True) -> Page:
        if self.translate is not None:
            query = await self.translate(query)
        listing, front = query.listing, query.from_
        body = await self._ask(
            listing.path,
            query.params(page, self._page_rows),
            seen=(listing.resource, None if front is None else to_us(front)),
        )
        assert body is not None
        return Page(body, parse_page_metadata(body, listing))

    async def document(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), body: Mapping[str, Any] | None = None,
        what: str,
    ) -> Any:  # fmt: skip
        assert (method, body) == ("GET", None), what
        answer = await self._ask(path, params)
        return parse_document(answer or b"", path)

    async def body(self, path: str, *, what: str) -> bytes | None:
        return await self._ask(path, (), what)

    async def _ask(
        self,
        path: str,
        params: Sequence[tuple[str, str]],
        what: str = "",
        seen: tuple[str | None, int | None] = (None, None),
    ) -> bytes | None:
        for _ in range(self._random.randrange(LONGEST_DETOUR)):
            await asyncio.sleep(0)
        self.stats.requests += 1
        if self.stats.requests == self._ends_at:
            raise RateLimitExhausted("The allowance is spent.")
        self._before_answer()
        self._world.on_request(*seen)
        query = urlencode(params)
        self.asked.append(f"{path}?{query}")
        answer = self._world.app.handle(Request("GET", path, query, {"xapikey": self._world.app.options.key}))
        self.server_time = self.server_time or parse_http_date(self._world.app.clock.http_date())
        for _ in range(self._random.randrange(LONGEST_DETOUR)):
            await asyncio.sleep(0)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise RefusedError(f"{what or path}: {answer.body!r}", answer.status)
        return answer.body


class Here(Executor):
    """Shapes on the spot instead of in a thread, so that a seed gives the same order of events every time."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **options: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **options))
        except BaseException as error:  # noqa: BLE001 (handed on to whoever waits)
            done.set_exception(error)
        return done


def runtime_of(world: SimWorld) -> Runtime:
    """Clocks that follow the world's, and names that the history's own count makes."""
    tokens = iter(f"{number:06x}" for number in range(1_000_000))
    return Runtime(
        now=lambda: from_us(world.app.clock.now_us()),
        monotonic=lambda: world.seconds,
        random=lambda: 0.5,
        id_suffix=lambda: next(tokens),
    )
