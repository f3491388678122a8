"""Options that several commands share."""

from __future__ import annotations

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
