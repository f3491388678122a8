"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from debitura_pipeline.cli import json_document

AsJson = Annotated[
    bool,
    typer.Option(
        json_document.OPTION,
        callback=json_document.begin,
        is_eager=True,
        help="Print one JSON document to standard output and everything else to standard error.",
    ),
]

PlanOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Save the plan to a file, without personal data; `apply FILE` sends exactly this plan or nothing.",
    ),
]

AllowSourceShrink = Annotated[
    bool,
    typer.Option("--allow-shrink", help="Accept a source that lost more than half of its rows since it was last read."),
]
