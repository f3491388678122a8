"""The Compose file as a program sees it: variables filled in, merges done."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import yaml

from tests.support.sandbox import ROOT

COMPOSE = ROOT / "deploy" / "compose.yaml"
FOLDER = ROOT / "deploy" / "compose"
IMAGE = "registry.example.com/image@sha256:" + "0" * 64


def filled_in() -> str:
    """The file's text with an image for each variable, which all have to be given."""
    return re.sub(r"\$\{[A-Z_]+_IMAGE:\?[^}]*\}", IMAGE, COMPOSE.read_text())


@cache
def compose() -> dict[str, Any]:
    """The whole file."""
    return dict(yaml.safe_load(filled_in()))


def services() -> dict[str, dict[str, Any]]:
    """The services by name."""
    return dict(compose()["services"])


def shell_of(service: str) -> str:
    """The shell command of a service whose command is `sh -c`, or of its health check, as Compose passes it on."""
    found = services()[service]
    return str(found["command"][2]).replace("$$", "$")
