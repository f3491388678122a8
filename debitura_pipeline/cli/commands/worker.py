"""`debitura worker`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

commands = typer.Typer()


@commands.command(epilog="Example:  debitura worker  |  debitura worker --queue large --grace 1800")
def worker(
    queue: Annotated[
        str | None, typer.Option(help="Queue to take runs from; that of DEBITURA_CELERY_QUEUE by default.")
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that a run may go on after SIGTERM before it is interrupted.")
    ] = 0.0,
) -> None:
    """Execute Dagster's runs from the queue in DEBITURA_CELERY_BROKER, one at a time, until SIGTERM or Ctrl-C.

    An interrupted run is recorded as failed and, like any other, retried if it may be. Start one worker for each run that a machine
    is to execute at once.
    """
    from debitura_pipeline.cli.working import prepared_worker
    from debitura_pipeline.work_queue.broker import require_queue

    wanted = require_queue()
    raise typer.Exit(prepared_worker(replace(wanted, name=queue) if queue else wanted, grace))
