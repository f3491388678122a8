"""The published copy while nights go by: a reader that never stops never meets an error, nor two states at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import debitura, environment
from tests.support.parsed import reuse_parse
from tests.support.pipeline import Pipeline
from tests.support.sandbox import ROOT, RunningSandbox


@pytest.mark.timeout(900)
def test_a_reader_never_meets_an_error_or_a_half_state_during_runs(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    """It waits for the first night's files and is there when the second night's take their place."""
    sandbox = sandbox_factory()
    pipeline = Pipeline(tmp_path / "data", sandbox)
    published = pipeline.settings.published_dir
    reuse_parse(pipeline.settings)
    reader = subprocess.Popen(
        [sys.executable, "-m", "tests.support.reader", str(published)],
        cwd=ROOT, env=environment({}), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for days in (0, 3):
            sandbox.admin("advance", {"days": days})
            said = debitura("nightly", env=pipeline.env)
            assert said.status == 0, said.out + said.err
            assert reader.poll() is None
    finally:
        out, _ = reader.communicate(input="", timeout=60)
    met = json.loads(out)
    assert met["faults"] == []
    assert len(met["seen"]) == 2, "each night was seen, and no state between them"
    assert sum(met["seen"].values()) > 20
    assert met["exports"] > 100
    newest = str(pipeline.rows("SELECT max(as_of) FROM ops.syncs")[0][0])
    assert newest in met["seen"]
