"""Messages about parts of a first load: load, part and partner, never a key or a row. See `first_load/`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from debitura_pipeline.settings import WorkQueue
from debitura_pipeline.work_queue.broker import opened

# A part is of use while its load can be resumed (`sync/prepare.py`), which ends earlier.
OF_USE_S = 86_400.0


@dataclass(frozen=True)
class PartQueue:
    """The queue from which workers take the parts of one load. Every method raises BrokerError, after some seconds at most."""

    queue: WorkQueue
    load_id: str
    partner: str | None

    def put(self, number: int) -> None:
        """Put a part on the queue."""
        from debitura_pipeline.work_queue.app import PART_TASK  # noqa: PLC0415 - Celery is optional

        with opened(self.queue) as broker:
            broker.put_message(PART_TASK, self._name(number), (self.load_id, number, self.partner), OF_USE_S)

    def is_waiting(self, number: int) -> bool:
        """Whether no worker has taken the part yet."""
        with opened(self.queue) as broker:
            return self._name(number) in broker.run_ids()

    def take_back(self, numbers: Iterable[int]) -> None:
        """Remove parts that no worker has taken yet."""
        with opened(self.queue) as broker:
            broker.take_back({self._name(number) for number in numbers})

    def _name(self, number: int) -> str:
        return f"{self.load_id}.{number}"
