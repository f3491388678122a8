"""`debitura report`: the partner report or one client's statement, as a page and as PDF."""

from __future__ import annotations

from typing import Annotated

import typer

from debitura_pipeline.cli.options import AsJson
from debitura_pipeline.settings import load_settings

commands = typer.Typer()


@commands.command(epilog="Examples:  debitura report --pdf  |  debitura report --client acme-ltd")
def report(
    client: Annotated[
        str | None,
        typer.Option("--client", help="Tenant id or creditor id: write this client's statement instead.", metavar="T"),
    ] = None,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Also print it to PDF; needs Chromium or Chrome on this machine.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the report page again from the published data, or one client's statement."""
    from debitura_pipeline.cli.reporting import write_page

    write_page(load_settings(), client, as_pdf=pdf)
