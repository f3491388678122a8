"""The exception classes of the pipeline, and whether a retry can help. `cli/exit_status.py` maps them to exit statuses.

A message says what was attempted, for whom, what happened and what to do. It never contains a key, a record or a person's data.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar


class DebituraError(Exception):
    """Base class. `facts`: values for logs and metadata, safe to print.

    `cure`: what to do about it, if known; it is appended to the message, and `doctor` prints it on a separate line.
    """

    is_retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, cure: str | None = None, **facts: Any) -> None:
        super().__init__(f"{message} {cure}" if cure else message)
        self.fault, self.cure, self.facts = message, cure, facts


class SettingsError(DebituraError):
    """A setting is invalid; nothing has been changed. One line: variable, fault, example."""


class SourceError(SettingsError):
    """The roster or the claims cannot be read, or lost more than half of their rows; nothing was planned or sent."""


class ApiError(DebituraError):
    """A request to the API failed."""


class TransientApiError(ApiError):
    """Timeout, broken connection, 5xx, truncated or non-JSON body: the same request may succeed later.

    `wait_s`: seconds that the API asks to wait (Retry-After), or None. `is_outage`: there was no response, or a 5xx; False for
    a body that cannot be parsed.
    """

    is_retryable = True

    def __init__(self, message: str, wait_s: float | None = None, *, is_outage: bool = False, **facts: Any) -> None:
        super().__init__(message, **(facts if wait_s is None else {**facts, "wait_s": wait_s}))
        self.wait_s, self.is_outage = wait_s, is_outage


class RateLimited(TransientApiError):
    """HTTP 429."""


class ApiOutage(ApiError):
    """The API did not answer within the time that an outage is waited out."""

    is_retryable = True


class RefusedError(ApiError):
    """The API rejected the request (400, 401, 403, 404, 422): a retry gives the same answer."""

    def __init__(self, message: str, status: int, **facts: Any) -> None:
        super().__init__(message, status=status, **facts)
        self.status = status


class ShapeError(TransientApiError):
    """A 200 whose body violates the contract: no paging block, or fewer rows than announced."""


class RateLimitExhausted(ApiError):
    """The hourly or daily rate limit is used up. Landed rows are kept; resume at `resume_at` (aware UTC)."""

    def __init__(self, message: str, resume_at: datetime | None = None, **facts: Any) -> None:
        super().__init__(message, resume_at=resume_at, **facts)
        self.resume_at = resume_at


class UnprovenError(DebituraError):
    """A window or listing could not be proven complete after all attempts. Nothing of the sync reached `raw`."""


class ShrinkRefused(DebituraError):
    """A sync would mark too many live rows as deleted. `--allow-shrink` permits it."""


class IdentityRefused(DebituraError):
    """Data directory or warehouse hold data of another API or partner, or pseudonyms of another privacy key."""


class WarehouseError(DebituraError):
    """The warehouse is locked by another process or unreadable, or a write was rolled back."""


class WarehouseDamaged(WarehouseError):
    """DuckDB cannot read its file. Once the file is moved away, `debitura replay` rebuilds it from the landing zone."""


class WarehouseBusy(WarehouseError):
    """Another process or connection holds the warehouse or a run lock; waiting helps."""

    is_retryable = True


class LandingError(DebituraError):
    """The landing zone does not match its journal, or could not be written."""


class SharedStoreError(DebituraError):
    """The shared store cannot be reached, holds something else than it should, or is another data directory's."""

    is_retryable = True


class JournalDamaged(LandingError):
    """A journal cannot be parsed. `debitura repair` fixes it."""
