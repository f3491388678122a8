"""`python -m tools.docs.offline build/site`: names what a page of the site would load from another host."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

# What a browser fetches by itself: scripts, images, style sheets. A link that a reader may follow is none of it.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon)\b[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|(?:@import|url\()\s*["']?(?:https?:)?//[^"')\s]+"""
)


def loads(site: Path) -> Iterator[str]:
    """Page and what it would load, one line each."""
    for path in sorted(site.rglob("*")):
        if path.suffix in {".html", ".css"}:
            for found in LOADED.findall(path.read_text(encoding="utf-8")):
                yield f"{path.relative_to(site)}: {found}"


def main(site: Path) -> int:
    """Print what is found; status 1 if there is anything."""
    found = list(loads(site))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
