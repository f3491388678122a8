"""Docstrings of public functions say which errors they raise."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tools.conventions.source import ROOT, Module, modules

Function = ast.FunctionDef | ast.AsyncFunctionDef


def faults() -> Iterator[str]:
    """Each public function or method with a `raise` of its own whose docstring does not name the error, in one line."""
    for module in modules().values():
        for function in _public(module):
            text = ast.get_docstring(function) or ""
            missing = sorted(name for name in _raised(function) if name not in text)
            if missing:
                place = f"{module.path.relative_to(ROOT)}:{function.lineno}"
                yield f"{place} {function.name} raises {', '.join(missing)}, which its docstring does not say"


def _public(module: Module) -> Iterator[Function]:
    for node in module.tree.body:
        members = node.body if isinstance(node, ast.ClassDef) and node.name[0] != "_" else [node]
        for member in members:
            if isinstance(member, Function) and member.name[0] != "_":
                yield member


def _raised(function: Function) -> set[str]:
    """Names of the errors that the function itself raises, not those of nested functions."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, Function | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            name = node.exc.func.id
            if name[0].isupper() and name not in ("AssertionError", "NotImplementedError"):
                found.add(name)
        waiting += ast.iter_child_nodes(node)
    return found
