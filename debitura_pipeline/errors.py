"""Every error that the pipeline raises on purpose, and whether trying again can help.

Belongs here: exception classes. Does not: handling them. Raised everywhere, turned into exit statuses by `cli.py`.
An error's text names what was tried, for whom, what came and what to do; never a key, a record or a person.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar


class DebituraError(Exception):
    """Root of the tree. `facts` are figures and names for logs and metadata, safe to print.

    `cure`: what to do about it, where that is known; it ends the error's text, and `doctor` prints it as a line of its own.
    """

    is_retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, cure: str | None = None, **facts: Any) -> None:
        super().__init__(f"{message} {cure}" if cure else message)
        self.fault, self.cure, self.facts = message, cure, facts


class SettingsError(DebituraError):
    """A setting is wrong; nothing has been touched. One line: variable, fault, example."""


class ApiError(DebituraError):
    """The API did not give what was asked for."""


class TransientApiError(ApiError):
    """Timeout, broken connection, 5xx, truncated or non-JSON body: the same request may succeed later.

    `wait_s` is what the API asks to wait, in seconds, or None if it did not say. `is_outage`: no answer came, or one that says
    that none can be given now; not a body that cannot be read.
    """

    is_retryable = True

    def __init__(self, message: str, wait_s: float | None = None, *, is_outage: bool = False, **facts: Any) -> None:
        super().__init__(message, **(facts if wait_s is None else {**facts, "wait_s": wait_s}))
        self.wait_s, self.is_outage = wait_s, is_outage


class RateLimited(TransientApiError):
    """HTTP 429."""


class ApiOutage(ApiError):
    """The API did not answer for as long as an outage is waited for."""

    is_retryable = True


class RefusedError(ApiError):
    """The API understood and said no (400, 401, 403, 404, 422): asking again gives the same answer."""

    def __init__(self, message: str, status: int, **facts: Any) -> None:
        super().__init__(message, status=status, **facts)
        self.status = status


class ShapeError(TransientApiError):
    """A 200 whose body is not what the contract says: no paging block, or rows announced and absent."""


class RateLimitExhausted(ApiError):
    """The hourly or daily allowance is used up. What is landed stays; start again at `resume_at` (aware UTC)."""

    def __init__(self, message: str, resume_at: datetime | None = None, **facts: Any) -> None:
        super().__init__(message, resume_at=resume_at, **facts)
        self.resume_at = resume_at


class UnprovenError(DebituraError):
    """A window could not be shown to be complete, after all attempts. Nothing of the sync reached `raw`."""


class ShrinkRefused(DebituraError):
    """A reading would mark too many live rows deleted. `--allow-shrink` lets it through."""


class IdentityRefused(DebituraError):
    """Data directory or warehouse hold the data of another API or partner, or pseudonyms of another privacy key."""


class WarehouseError(DebituraError):
    """The warehouse refused: locked by another process, unreadable, or a write that was rolled back."""


class WarehouseDamaged(WarehouseError):
    """DuckDB cannot read its file. Moved away, it is rebuilt from the landing zone."""


class WarehouseBusy(WarehouseError):
    """Another process has the DuckDB file open; waiting helps."""

    is_retryable = True


class LandingError(DebituraError):
    """The landing zone does not hold what its journal says, or could not be written."""


class JournalDamaged(LandingError):
    """A journal that cannot be read as one. `debitura repair` is the way out."""
