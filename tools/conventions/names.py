"""A public name has one meaning: no function or class of the same name in two modules of a package tree."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

from tools.conventions.source import modules

TREES = (("debitura_pipeline", "assets"), ("debitura_sandbox",))
# Names that mean the same wherever they are defined.
SAME_MEANING = {
    "main": "the entry point of a program",
    "examine": "the checks of one area for `debitura doctor`, a file each",
    "route": "answers the requests of one group of paths, a file each",
    "sync": "the command, and what it calls",
    "replay": "the command, and what it calls",
    "verify": "the command, and what it calls",
    "repair": "the command, and what it calls",
    "reconcile": "the command, and what it calls",
    "restore": "the command, and what it calls",
    "control_totals": "the asset check, and the query behind it",
    "client_totals": "the asset check, and the query behind it",
    "attribution_gaps": "the asset check, and the query behind it",
}


def faults() -> Iterator[str]:
    """Each name that two modules define, in one line."""
    for tree in TREES:
        places: dict[str, list[str]] = defaultdict(list)
        for name, module in modules(tree).items():
            for node in module.tree.body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
                    places[node.name].append(name)
        for public, found in sorted(places.items()):
            if len(found) > 1 and public not in SAME_MEANING:
                yield f"{public} is defined in {', '.join(found)}"
