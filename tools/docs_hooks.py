"""What the site has beside the files of docs/: mkdocs.yml names this file as its hooks.

Pages that are not written by hand, or that lie beside the code that they are about, become pages of
the site. Links are followed from the file that has them: to a page of the site, to a file of the
repository (which becomes its name, for the site does not have it), or to an error.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
# Page of the site -> file of the repository.
ELSEWHERE = {
    "browser.md": "web/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "examples.md": "examples/README.md",
    "phone.md": "android_demo/README.md",
}
COMMAND_LINE = "command-line.md"
_FENCE = re.compile(r"(^(`{3,}).*?^\2`*$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
# A page that a text names as a reader of the repository finds it.
_NAMED = re.compile(r"(?<![\w/`\[])(?<!\]\()`?docs/(\w+)\.md`?(?![\w\]])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/."""
    from mkdocs.structure.files import File

    for page, source in ELSEWHERE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, COMMAND_LINE, content=command_line()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let a page's links lead to pages of the site, or be names of files."""
    place = page.file.src_uri
    source = ELSEWHERE.get(place, f"docs/{place}")
    parts = _FENCE.split(markdown)
    # split gives text, a whole fence, its ticks, text, ...
    for number in range(0, len(parts), 3):
        text = _NAMED.sub(lambda found: named(found[1], place), parts[number])
        parts[number] = _LINK.sub(
            lambda found: followed(found[2], found[3], source, found[1]), text
        )
    return "".join(part for number, part in enumerate(parts) if number % 3 != 2)


def named(name: str, place: str) -> str:
    """What stands for `docs/NAME.md` on the page `place`: a link with the page's title."""
    if place == f"{name}.md":
        return "this page"
    first = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8").split("\n", 1)[0]
    return f"[{first.removeprefix('# ')}](/docs/{name}.md)"


def followed(label: str, target: str, source: str, kind: str = "") -> str:
    """The link [label](target) of the repository's file `source`, as the site has it.

    kind: "!" for a picture, which has to be in docs/.
    """
    path, _, anchor = target.partition("#")
    if not path or re.match(r"\w+:", target):
        return f"{kind}[{label}]({target})"
    start = "" if path.startswith("/") else posixpath.dirname(source)
    file = posixpath.normpath(posixpath.join(start, path.lstrip("/")))
    pages = {there: page for page, there in ELSEWHERE.items()}
    page = pages.get(file) or (file.removeprefix("docs/") if file.startswith("docs/") else None)
    if page is not None:
        return f"{kind}[{label}]({page}{'#' if anchor else ''}{anchor})"
    if kind or not (ROOT / file).exists():
        raise FileNotFoundError(
            f"{source} has a link to {target}, which is not there (pictures: in docs/)"
        )
    return label if label.startswith("`") else f"{label} (`{file}`)"


def command_line() -> str:
    """The page of all verbs, out of their own help."""
    os.environ["COLUMNS"], os.environ["NO_COLOR"] = "96", "1"
    from gpt2_edge_cli.main import build_parser
    from gpt2_edge_cli.registry import VERBS, load_verb

    lines = [
        "# Command line",
        "",
        "What `gpt2-edge VERB --help` prints, for every verb; the page is made of it.",
        "",
        "```text",
        build_parser().format_help().rstrip(),
        "```",
    ]
    for name in VERBS:
        verb = load_verb(name)
        lines += ["", f"## {name}", "", "```text", verb.parser.format_help().rstrip(), "```"]
    return "\n".join(lines) + "\n"
