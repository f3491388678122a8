"""Choose the API that the settings name: Debitura's, any other address, or the embedded sandbox. Imports no Dagster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import Endpoint, Secret, Settings
from debitura_sandbox.server.embedded import running


@contextmanager
def open_endpoint(settings: Settings, *, advance_days: int = 0) -> Iterator[Endpoint]:
    """The API of `settings`. Without an address, connects to the embedded sandbox of this data directory, or starts one for
    the duration of the block; `advance_days` advances its clock first. Raises SettingsError if an address is set without a
    key."""
    if settings.api_url is None:
        with running(settings.data_dir, advance_days=advance_days) as sandbox:
            yield Endpoint(sandbox.url, Secret(sandbox.key), sandbox.customer_url, is_simulated=True)
        return
    if settings.api_key is None:
        raise SettingsError(
            "DEBITURA_API_KEY is needed, since an API address is set. Example: DEBITURA_API_KEY=the XApiKey"
        )
    yield Endpoint(
        settings.api_url,
        settings.api_key,
        settings.customer_api_url,
        is_simulated=settings.environment == "sandbox",
    )
