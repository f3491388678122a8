"""The Celery app: what a message says, and what becomes of it when a worker dies. Does not import Dagster.

A message holds a run's id, or which part of which first load is to be read for which partner, and nothing else. A worker
acknowledges it when its work is over, takes one at a time, and gives it back if it ends before. If a worker is lost, Redis delivers
the message again after VISIBLE_AGAIN_S; long before that, the watchdog has failed the run, and a retry has a message of its own.
`execute.py` leaves a run alone that is over or is being executed, so that a run is executed once however often its message comes. A
part that is read twice counts once (`first_load/`).
"""

from __future__ import annotations

from typing import Any

from celery import Celery

from debitura_pipeline.settings import Secret

TASK, PART_TASK = "debitura.execute_run", "debitura.read_part"
# Longer than the longest run: `dagster.yaml` ends runs after two days (`max_runtime_seconds`), which may wait one before.
VISIBLE_AGAIN_S = 4 * 86_400
ANSWER_S = 5.0  # of a launch, which has half a minute in all


def make_app(broker: Secret, **options: Any) -> Celery:
    """The app for a broker. `options`: of its connections, in addition. Errors come later, when the broker is used."""
    app = Celery("debitura", broker=broker.reveal(), set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=True,  # Dagster's storage says what became of the run
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        result_backend=None,
        worker_prefetch_multiplier=1,
        task_serializer="json",
        accept_content=["json"],  # pickled messages could run code
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker outlives an outage of Redis, however long
        worker_cancel_long_running_tasks_on_connection_loss=False,  # a run needs no Redis
        worker_redirect_stdouts=False,
        broker_transport_options={"visibility_timeout": VISIBLE_AGAIN_S, "socket_keepalive": True, **options},
    )
    return app


def make_client(broker: Secret) -> Celery:
    """The app for a moment's use, which gives up soon."""
    return make_app(broker, socket_connect_timeout=ANSWER_S, socket_timeout=ANSWER_S)
