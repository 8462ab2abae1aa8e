"""make docs: build the site of docs/ into build/site, and check what mkdocs does not.

    python tools/docs.py

Needs the extra [docs]. mkdocs stops at a warning: a link or an anchor that leads nowhere, a page
that is missing or in no menu. Checked here: every page asks for files of the site only, so that it
can be read without a network, and they are there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "build" / "site"
_ASKS = {"img": "src", "link": "href", "script": "src", "source": "src", "iframe": "src"}
_STYLE = re.compile(r"""url\(\s*["']?([^"')\s]+)|@import\s+["']([^"']+)""")


def main() -> None:
    """Build the site and check it; the exit status is 1 where it asks for what it has not."""
    variables = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # the theme's, about a later mkdocs
    # Not --quiet: with it mkdocs does not count warnings, and --strict has nothing to stop at.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean"]
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode or "WARNING -" in done.stderr:
        sys.exit(done.stdout + done.stderr)
    pages = sorted(SITE.rglob("*.html"))
    wrong = [problem for page in pages for problem in problems(page, SITE)]
    wrong += [problem for file in sorted(SITE.rglob("*.css")) for problem in problems(file, SITE)]
    for problem in wrong:
        print(f"docs: {problem}", file=sys.stderr)
    if wrong:
        sys.exit(1)
    where = SITE.relative_to(ROOT)
    print(f"{len(pages)} pages in {where}, which ask for nothing outside")
    print(f"open {where}/index.html (to search, run python -m http.server -d {where})")


def problems(file: Path, site: Path) -> list[str]:
    """What a page or a style asks for that the site does not have."""
    text = file.read_text(encoding="utf-8")
    found = []
    for address in asked(text) if file.suffix == ".html" else styled(text):
        path = unquote(address.partition("#")[0].partition("?")[0])
        if address.startswith(("data:", "#")):
            continue
        name = file.relative_to(site)
        if re.match(r"(\w+:)?//", address):
            found.append(f"{name} asks another host: {address}")
        elif not (site / path[1:] if path.startswith("/") else file.parent / path).exists():
            found.append(f"{name} asks for {address}, which is not there")
    return found


def asked(page: str) -> list[str]:
    """Addresses that a browser fetches for a page without being told to."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            values = dict(attrs)
            address = values.get(_ASKS.get(tag, ""))
            leads = tag == "link" and values.get("rel") in ("canonical", "prev", "next")
            if address and not leads:
                found.append(address)

    Reader().feed(page)
    return found


def styled(style: str) -> list[str]:
    """Addresses that a style sheet fetches."""
    return [first or second for first, second in _STYLE.findall(style)]


if __name__ == "__main__":
    main()
