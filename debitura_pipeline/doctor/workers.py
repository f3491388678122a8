"""Check the queue of the workers: whether Redis answers, and whether a worker listens. Nothing where there is no queue."""

from __future__ import annotations

from collections.abc import Iterator

from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, from_error, passed
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Settings, declared
from debitura_pipeline.work_queue.broker import opened, redis_label, start_command

NAME = declared.CELERY_BROKER.name


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """One look at the queue."""
    queue = settings.run_queue
    if queue is None:
        return
    try:
        with opened(queue) as broker:
            yield passed(NAME, f"{redis_label(queue.broker)} answers")
            is_heard = broker.has_worker()
    except DebituraError as error:
        yield from_error(NAME, error, settings)
        return
    if is_heard:
        yield passed("workers", f"one or more listen on queue {queue.name}")
    else:
        seen = f"none listens on queue {queue.name}, so Dagster's runs fail."
        yield failed("workers", seen, f"Start one: {start_command(queue.name)}")


def target(settings: Settings) -> str:
    """What the check waits for."""
    queue = settings.run_queue
    return f"{redis_label(queue.broker)} ({NAME})" if queue is not None else "nothing"
