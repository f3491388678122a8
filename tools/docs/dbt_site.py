"""`python -m tools.docs.dbt_site build/site`: writes dbt's own documentation into the site, as one file that loads nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from debitura_pipeline.orchestration.manifest import obtain_manifest, parse_environment, require_dbt

NAME = "dbt.html"
# dbt's page can send usage statistics; it would only if the project allowed it, and here it cannot.
TRACKERS = ("//d1fc8wv8zag5ca.cloudfront.net/2.9.0/sp.js", "https://fuzzed.getdbt.com/")
PARSED = ("manifest.json", "partial_parse.msgpack")


def write_dbt_docs(site: Path) -> Path:
    """Write `dbt.html` into the site. Takes the manifest as it is and opens no database. Raises CalledProcessError."""
    manifest = obtain_manifest()
    project = manifest.parent.parent
    with tempfile.TemporaryDirectory() as draft:
        for name in PARSED:
            shutil.copy(manifest.with_name(name), draft)
        command = [require_dbt(), "--quiet", "docs", "generate", "--static", "--empty-catalog", "--no-compile"]
        subprocess.run(  # noqa: S603 - the command is ours
            [*command, "--target-path", draft, "--log-path", draft],
            env=parse_environment(project),
            check=True,
        )
        page = (Path(draft) / "static_index.html").read_text(encoding="utf-8")
    for text in (*TRACKERS, str(project)):
        page = page.replace(text, "")
    written = site / NAME
    written.write_text(page, encoding="utf-8")
    return written


if __name__ == "__main__":
    write_dbt_docs(Path(sys.argv[1]))
