"""Is the warehouse the world? The one question of most acceptance tests.

Belongs here: that comparison. Does not: making either side.
"""

from __future__ import annotations

from collections.abc import Set

from debitura_pipeline.contract.tables import TABLES
from tests.support.pipeline import PRIVACY_KEY, Pipeline
from tests.support.truth import expected


def assert_mirrors(pipeline: Pipeline, *resources: str) -> None:
    """Every live row of the sandbox stands in `raw` with every column's value, once, and nothing else is live there."""
    for resource in resources or tuple(TABLES):
        truth = expected(resource, pipeline.sandbox.truth(resource), PRIVACY_KEY.encode())
        found = pipeline.records(resource)
        _compare_keys(resource, truth.keys(), found.keys())
        wrong = {
            (key, name): (found[key][name], value)
            for key, row in truth.items()
            for name, value in row.items()
            if found[key][name] != value
        }
        assert not wrong, f"{resource}: {list(wrong.items())[:3]}"


def assert_same_keys(pipeline: Pipeline, *resources: str) -> None:
    """The same rows, whatever their values: one that was edited right after it was read is news for the next night."""
    for resource in resources:
        truth = expected(resource, pipeline.sandbox.truth(resource), PRIVACY_KEY.encode())
        _compare_keys(resource, truth.keys(), pipeline.records(resource).keys())


def _compare_keys(resource: str, truth: Set[str], found: Set[str]) -> None:
    lost, more = truth - found, found - truth
    assert not lost, f"{len(lost)} {resource} lost"
    assert not more, f"{len(more)} {resource} too many"
