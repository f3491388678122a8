"""`debitura dev`."""

from __future__ import annotations

from typing import Annotated

import typer

from debitura_pipeline.settings import load_common, load_settings, served_partners
from debitura_pipeline.warehouse.run_lock import exclusive_dev

commands = typer.Typer()


@commands.command()
def dev(
    port: Annotated[int | None, typer.Option(help="Port of the web interface; a free one by default.")] = None,
) -> None:
    """Run Dagster's UI, daemon, schedule and sensors with the same settings, and the sandbox if it is in use.

    With a partners file and without --partner, for all partners.
    """
    served = served_partners()
    settings = load_common() if served else load_settings()
    with exclusive_dev(settings):
        if served:
            from debitura_pipeline.partners.own_dev import refuse_beside_own

            refuse_beside_own()
        from debitura_pipeline.supervision.dev import run_dev

        raise typer.Exit(run_dev(settings, port))
