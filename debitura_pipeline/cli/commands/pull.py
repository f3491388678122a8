"""`debitura pull`: the night that is published in the shared store, on this machine."""

from __future__ import annotations

import typer

from debitura_pipeline.cli.options import AsJson
from debitura_pipeline.settings import load_settings

commands = typer.Typer()


@commands.command(epilog="Examples:  debitura pull  |  debitura pull && debitura query 'FROM revenue_by_month'")
def pull(as_json: AsJson = False) -> None:
    """Download the current night of the shared store into the published folder, and its reports; needs no API key."""
    from debitura_pipeline.cli import console, json_document
    from debitura_pipeline.warehouse.shared_nights import pull_night

    settings = load_settings()
    night = pull_night(settings, settings.published_dir, settings.reports_dir)
    json_document.give(is_new=night is not None, published_dir=settings.published_dir)
    if night is None:
        console.conclude(f"{settings.published_dir} has the current night already.")
    else:
        console.conclude(f"{settings.published_dir} has the night published {night.published_at:%Y-%m-%d %H:%M} UTC.")
