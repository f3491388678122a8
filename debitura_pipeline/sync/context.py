"""State shared by all resources of a session: settings, API client, partner's terms, clock."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.extract.plan import SMALL_REQUESTS
from debitura_pipeline.extract.reader import ReadProgress
from debitura_pipeline.first_load.divide import LEAST_ROWS
from debitura_pipeline.landing.transform import PageTransformer
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync.clock import SyncClock, sync_clock
from debitura_pipeline.sync.partner import PartnerTerms

log = logging.getLogger(__name__)


@dataclass
class SyncContext:
    """Shared state. `transform_pool`: one thread, because a transformer is not thread-safe. `small_requests`: resources that take
    fewer requests are always read completely. `failed`: reasons by tenant of clients that could not be read. `part_rows`: rows that
    a part of a first load has at least."""

    settings: Settings
    endpoint: Endpoint
    runtime: Runtime
    client: ApiClient
    transformer: PageTransformer
    transform_pool: ThreadPoolExecutor
    progress: Callable[[ReadProgress], None] | None
    partner: PartnerTerms
    small_requests: int = SMALL_REQUESTS
    failed: dict[str, str] = field(default_factory=dict)
    part_rows: int = LEAST_ROWS

    def __post_init__(self) -> None:
        """Choose the session's clock."""
        stated, is_simulated = self.client.server_time, self.endpoint.is_simulated
        self.clock: SyncClock = sync_clock(
            stated, self.runtime.now(), self.runtime.monotonic, is_simulated=is_simulated
        )
        if self.clock.message:
            log.warning("%s", self.clock.message)

    def now(self) -> datetime:
        """The current instant by the session's clock, aware UTC."""
        return self.clock.now()
