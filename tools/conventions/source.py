"""The modules of the code base and what each imports, read from their syntax trees; nothing is executed."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("debitura_pipeline", "debitura_sandbox", "assets")


@dataclass(frozen=True)
class Module:
    """One file. `name` is dotted, a package's own file under the package's name."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.path.read_text())

    def imported_names(self) -> set[str]:
        """Dotted names of everything imported, also inside functions and for type checkers. Raises ValueError."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                if node.level:
                    raise ValueError(f"{self.path.relative_to(ROOT)}:{node.lineno}: relative import")
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        return found


def modules(packages: tuple[str, ...] = PACKAGES) -> dict[str, Module]:
    """All modules of `packages` by dotted name."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = Module(name, path)
    return found


def imports(known: dict[str, Module]) -> dict[str, set[str]]:
    """Which of the `known` modules each imports."""
    return {
        name: {target for target in (_module_of(full, known) for full in module.imported_names()) if target} - {name}
        for name, module in known.items()
    }


def _module_of(dotted: str, known: dict[str, Module]) -> str:
    while dotted and dotted not in known:
        dotted = dotted.rpartition(".")[0]
    return dotted
