"""`debitura tour`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from debitura_pipeline.cli.options import AsJson

commands = typer.Typer()


@commands.command(epilog="Example:  debitura tour --folder tour")
def tour(
    folder: Annotated[
        Path, typer.Option(help="Where the tour keeps its files; a folder of an earlier tour is replaced.")
    ] = Path("tour"),
    as_json: AsJson = False,
) -> None:
    """Walk through a partner's five steps, from a roster row to a fee in the report, using a separate sandbox."""
    from debitura_pipeline.cli.tour import play

    play(folder.resolve())
