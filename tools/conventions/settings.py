"""Variables of the environment: declared once, read somewhere, and documented as they are declared.

A setting is read where `debitura_pipeline/settings/load.py` names its declaration (the proxy: where `proxies.py` has its
name), any other variable where code has its name alone. A name in a message or in a dictionary, which is a child's
environment, reads nothing, but must be declared all the same.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from debitura_pipeline.settings import declared
from debitura_pipeline.settings.catalogue import OWN, VARIABLES
from debitura_pipeline.settings.declaration import Setting
from tools.conventions.source import ROOT, Module, modules
from tools.settings import COMMAND, pages

NAME = re.compile(r"\b(?:DEBITURA|DAGSTER)_[A-Z][A-Z0-9_]*[A-Z0-9]\b")
LOOKED_UP = re.compile(r"env_var\(\s*['\"](\w+)|\benv: (\w+)")  # dbt's and Dagster's own ways
AS_FILE = "_FILE"
TEXTS = ("dbt/**/*.yml", "dbt/**/*.sql", "deploy/**/*", "README.md", "Makefile")
PACKAGES = ("debitura_pipeline", "debitura_sandbox", "assets", "bench")
DECLARATIONS = ("debitura_pipeline.settings.declared", "debitura_pipeline.settings.catalogue")
LOADER, PROXIES = "debitura_pipeline.settings.load", "debitura_pipeline.proxies"


def faults(root: Path = ROOT) -> Iterator[str]:
    """Each variable that is undeclared or unread, and each page that is not as the declarations say, in one line."""
    found = {name: module for name, module in modules(PACKAGES).items() if name not in DECLARATIONS}
    texts = {str(path.relative_to(root)): path.read_text() for path in _texts(root)}
    yield from undeclared(found, texts)
    yield from unread(found, texts)
    yield from outdated(root)


def undeclared(found: Mapping[str, Module], texts: Mapping[str, str]) -> Iterator[str]:
    """Names of this project's or Dagster's variables that no declaration has."""
    named = {name: " ".join(_strings(module.tree)) for name, module in found.items()} | dict(texts)
    for place, text in named.items():
        for variable in sorted(set(NAME.findall(text)) - set(VARIABLES)):
            if variable.removesuffix(AS_FILE) in VARIABLES and place.startswith("deploy/"):
                continue  # deploy/entrypoint.sh reads the file
            yield f"{place} names {variable}, which is not declared in debitura_pipeline/settings"


def unread(
    found: Mapping[str, Module], texts: Mapping[str, str], variables: Mapping[str, Setting[Any]] = VARIABLES
) -> Iterator[str]:
    """Declared variables that nothing reads."""
    loaded = {getattr(declared, constant).name for constant in _declarations_in(found[LOADER].tree)}
    loaded |= set(_names_alone(found[PROXIES].tree))
    looked_up = {name for text in texts.values() for pair in LOOKED_UP.findall(text) for name in pair}
    looked_up |= {name for module in found.values() for name in _names_alone(module.tree)}
    own = {setting.name for setting in OWN}
    for name, setting in variables.items():
        if name not in (loaded if name in own else looked_up) and not setting.read_by:
            yield f"{name} is declared, and nothing reads it"


def outdated(root: Path) -> Iterator[str]:
    """Pages that differ from what the declarations say."""
    for name, text in pages().items():
        path = root / name
        if not path.is_file() or path.read_text() != text:
            yield f"{name} is not as the settings are declared: run `{COMMAND}`"


def _texts(root: Path) -> Iterator[Path]:
    for pattern in TEXTS:
        yield from (
            path for path in sorted(root.glob(pattern)) if path.is_file() and not {"target", "logs"} & {*path.parts}
        )


def _strings(tree: ast.Module) -> Iterator[str]:
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _declarations_in(tree: ast.Module) -> set[str]:
    """X of every `declared.X` in it."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "declared"
    }


def _names_alone(tree: ast.Module) -> Iterator[str]:
    """Strings that are exactly a name, except keys of a dictionary, which set a child's environment."""
    keys = {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in keys:
            yield node.value
