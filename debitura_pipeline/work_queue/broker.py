"""What is asked of the broker: who listens on a queue, put a message on it, which messages are on it.

Every fault is one line that names the queue and what to do. No message shows the broker's address with its password.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Secret, WorkQueue, declared, load_work_queue

if TYPE_CHECKING:
    from celery import Celery

CONNECT_S = 3.0
LOOK_S = 2.0  # a worker answers within milliseconds, however busy its run is
PUT_WITHIN_S = 20.0  # of the 30 within which a run without a worker fails; a worker that is started again has as long
PAUSE_S = 1.0
NOT_INSTALLED = "Celery is not installed, so runs cannot be put on a queue or taken from it."


class BrokerError(DebituraError):
    """The queue's Redis cannot be used, or Celery is not installed."""


class NoWorker(DebituraError):
    """No worker listens on the queue."""


def require_queue() -> WorkQueue:
    """The queue of the settings. Raises BrokerError without one, SettingsError."""
    queue = load_work_queue()
    if queue is None:
        raise BrokerError(
            f"{declared.CELERY_BROKER.name} is not set, so there is no queue for workers.",
            cure=f"Set it for daemon, web server, code server and workers. Example: {declared.CELERY_BROKER.name}=redis://host:6379/0",
        )
    return queue


def redis_label(broker: Secret) -> str:
    """`Redis at host:port`."""
    parts = urlsplit(broker.reveal())
    return f"Redis at {parts.hostname}:{parts.port or 6379}"


def start_command(queue: str) -> str:
    """How a worker for the queue is started."""
    return "debitura worker" if queue == declared.CELERY_QUEUE.default else f"debitura worker --queue {queue}"


class Broker:
    """One use of a broker that has answered. Every method raises BrokerError."""

    def __init__(self, app: Celery, broker: Secret, queue: str) -> None:
        self._app, self._broker, self._queue = app, broker, queue

    def check(self) -> None:
        """Connect, log in, and get an answer, once: Celery's own connections try for much longer."""
        from redis import Redis  # noqa: PLC0415 - optional
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        limits = {"socket_connect_timeout": CONNECT_S, "socket_timeout": CONNECT_S}
        with self._said(), Redis.from_url(self._broker.reveal(), retry=Retry(NoBackoff(), 0), **limits) as client:
            client.ping()

    def has_worker(self, look_s: float = LOOK_S) -> bool:
        """Whether a worker listens on the queue, busy or not."""
        with self._said():
            try:
                self._app.control.broadcast("active_queues", reply=True, timeout=look_s, callback=self._look)
            except _Heard:
                return True
        return False

    def put(self, task: str, run_id: str) -> None:
        """Put a run on the queue."""
        self.put_message(task, run_id, (run_id,))

    def put_message(
        self, task: str, name: str, values: Sequence[str | int | None], within_s: float | None = None
    ) -> None:
        """Put a message called `name` on the queue. `within_s`: a worker that takes it later drops it."""
        options = {"queue": self._queue, "task_id": name, "retry": False, "ignore_result": True, "expires": within_s}
        with self._said():
            self._app.send_task(task, tuple(values), **options)

    def run_ids(self) -> set[str]:
        """Runs, and parts of first loads, whose message no worker has taken yet."""
        with self._said(), self._app.connection_for_write() as connection:
            messages = connection.default_channel.client.lrange(self._queue, 0, -1)
        return {_name_of(message) for message in messages}

    def take_back(self, names: Collection[str]) -> None:
        """Remove messages that no worker has taken yet."""
        with self._said(), self._app.connection_for_write() as connection:
            client = connection.default_channel.client
            for message in client.lrange(self._queue, 0, -1):
                if _name_of(message) in names:
                    client.lrem(self._queue, 1, message)

    def _look(self, answer: dict[str, Any]) -> None:
        if any(isinstance(queues, list) and _names(queues, self._queue) for queues in answer.values()):
            raise _Heard

    @contextmanager
    def _said(self) -> Iterator[None]:
        from kombu.exceptions import OperationalError  # noqa: PLC0415 - optional
        from redis.exceptions import AuthenticationError, RedisError  # noqa: PLC0415

        try:
            yield
        except (OSError, OperationalError, RedisError) as error:
            is_refused = any(isinstance(each, AuthenticationError) for each in (error, error.__cause__))
            fault = "refuses the password" if is_refused else f"cannot be used ({_kind(error)})"
            raise BrokerError(
                f"{redis_label(self._broker)}, which keeps queue {self._queue}, {fault}.",
                cure=f"Check that it is running, and {self._broker.variable}.",
            ) from None


class _Heard(Exception):
    """A worker listens on the queue: no need to wait for more answers."""


@contextmanager
def opened(queue: WorkQueue, name: str | None = None) -> Iterator[Broker]:
    """The broker, if it answers, for the length of the block. `name`: of another queue there. Raises BrokerError."""
    try:
        from debitura_pipeline.work_queue.app import make_client  # noqa: PLC0415 - optional
    except ModuleNotFoundError:
        raise BrokerError(NOT_INSTALLED, cure="Run `make celery`.") from None
    with make_client(queue.broker) as app:
        broker = Broker(app, queue.broker, name or queue.name)
        broker.check()
        yield broker


def put_run(
    queue: WorkQueue,
    name: str,
    run_id: str,
    *,
    within_s: float = PUT_WITHIN_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Put a run on queue `name` once a worker listens there. Raises NoWorker or BrokerError after `within_s`.

    A run may then be on the queue twice, if an answer of Redis was lost; that does no harm.
    """
    give_up_at = clock() + within_s
    while True:
        fault: DebituraError
        try:
            with opened(queue, name) as broker:
                if broker.has_worker():
                    from debitura_pipeline.work_queue.app import TASK  # noqa: PLC0415

                    broker.put(TASK, run_id)
                    return
            fault = no_worker(name)
        except BrokerError as error:
            fault = error
        if fault.fault == NOT_INSTALLED or clock() >= give_up_at:
            raise fault
        sleep(PAUSE_S)


def no_worker(name: str) -> NoWorker:
    """The error of a run that nobody would take."""
    return NoWorker(
        f"No worker listens on queue {name}, so this run cannot be executed.", cure=f"Start one: {start_command(name)}"
    )


def _names(queues: list[dict[str, Any]], name: str) -> bool:
    return any(each.get("name") == name for each in queues)


def _name_of(message: bytes) -> str:
    return str(json.loads(message)["headers"]["id"])


def _kind(error: Exception) -> str:
    """In words without an address."""
    kind = type(error.__cause__ or error).__name__
    return "it does not answer" if "Timeout" in kind else "no connection" if "Connection" in kind else kind
