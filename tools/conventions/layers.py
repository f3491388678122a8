"""Imports run downwards: a module imports from its own package or from layers below, never in a circle.

The simulated API shares nothing with the pipeline but the exception tree: one that shared code with its client would
share the client's mistakes. Dagster is imported by the upper layers only, httpx by two files.
"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from tools.conventions.source import Module, imports, modules

# From the bottom up; packages of one line may not import each other.
LAYERS = (
    ("errors", "files", "formats", "interrupts", "plural", "secret", "sharing", "typed_commands", "without_packages"),
    ("address_space", "memory"),
    ("notes", "proxies"),
    ("settings",),
    ("disk_space", "work_queue"),
    ("failures",),
    ("debitura_sandbox",),
    ("contract",),
    ("api",),
    ("landing",),
    ("extract",),
    ("incremental",),
    ("reconcile",),
    ("shared_store",),
    ("warehouse",),
    ("first_load",),
    ("sync",),
    ("source",),
    ("outbound",),
    ("onboarding", "report", "migration", "webhooks", "frames"),
    ("backup",),
    ("registration",),
    ("submission",),
    ("incidents",),
    ("orchestration",),
    ("workers",),
    ("supervision", "status", "doctor", "assets"),
    ("partners",),
    ("fleet",),
    ("definitions",),
    ("cli",),
)
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}
HIGHEST_WITHOUT_DAGSTER = HEIGHT["incidents"]
USERS_OF_HTTPX = ("debitura_pipeline.api.http", "debitura_pipeline.api.transport")
SANDBOX_MAY_IMPORT = ("debitura_sandbox", "debitura_pipeline.errors")


def layer_of(module: str) -> str | None:
    """`debitura_pipeline.api.client` is of layer `api`; None for the package itself and for other people's modules."""
    first, _, rest = module.partition(".")
    if first in ("assets", "debitura_sandbox"):
        return first
    return rest.partition(".")[0] or None if first == "debitura_pipeline" else None


def faults() -> Iterator[str]:
    """Each import that breaks a rule, and each circle, in one line."""
    known = modules()
    graph = imports(known)
    for name, module in known.items():
        yield from _upwards(name, graph[name])
        yield from _libraries(module)
    yield from _circle(graph)


def _upwards(name: str, targets: set[str]) -> Iterator[str]:
    own = layer_of(name)
    if own is None:
        return
    if own not in HEIGHT:
        yield f"{name}: layer {own} is not in the list of layers"
        return
    for target in sorted(targets):
        other = layer_of(target)
        if other is not None and other != own and HEIGHT.get(other, len(LAYERS)) >= HEIGHT[own]:
            yield f"{name} imports {target}, which is not below it"
        if own == "debitura_sandbox" and not target.startswith(SANDBOX_MAY_IMPORT):
            yield f"{name} imports {target}: the simulated API shares no code with the pipeline"


def _libraries(module: Module) -> Iterator[str]:
    libraries = {name.partition(".")[0] for name in module.imported_names()}
    layer = layer_of(module.name)
    if layer in HEIGHT and HEIGHT[layer] <= HIGHEST_WITHOUT_DAGSTER and any(x.startswith("dagster") for x in libraries):
        yield f"{module.name} imports Dagster, which only the layers from orchestration upwards may"
    if "httpx" in libraries and module.name not in USERS_OF_HTTPX:
        yield f"{module.name} imports httpx, which only {' and '.join(USERS_OF_HTTPX)} may"


def _circle(graph: dict[str, set[str]]) -> Iterator[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"import circle: {' -> '.join(error.args[1])}"
