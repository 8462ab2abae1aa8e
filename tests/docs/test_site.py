"""The pages of docs/ without building the site: menu, links, and what `make docs` checks."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from program_file import load_program

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
LINKED = ["README.md", "examples/README.md", "web/README.md", "android_demo/README.md", *PAGES]


def tool(name: str) -> ModuleType:
    return load_program(ROOT / "tools" / f"{name}.py")


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    return tool("docs_hooks")


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", (ROOT / page).read_text("utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as mkdocs and GitHub make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[ ]+", "-", heading) for heading in plain}


def dead_links(page: str) -> list[str]:
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        # Pages that are made when the site is built.
        if re.match(r"\w+:", link) or path in made_pages():
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def made_pages() -> set[str]:
    hooks = sys.modules.get("docs_hooks") or tool("docs_hooks")
    return {*hooks.ELSEWHERE, hooks.COMMAND_LINE}


@pytest.mark.parametrize("page", LINKED)
def test_every_link_leads_somewhere(page: str) -> None:
    assert dead_links(page) == []


@pytest.mark.parametrize("page", LINKED)
def test_every_page_that_is_named_is_there(page: str) -> None:
    named = re.findall(r"(?<![\w/])docs/(\w+)\.md", prose(page))
    assert [name for name in named if not (ROOT / "docs" / f"{name}.md").exists()] == []


def test_the_menu_has_every_page() -> None:
    menu = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    listed = re.findall(r": (\S+\.md)$", menu, re.MULTILINE)
    assert sorted(listed) == sorted({Path(page).name for page in PAGES} | made_pages())


def test_only_pages_of_the_site_are_linked_on_it(hooks: ModuleType) -> None:
    assert hooks.followed("a", "PACKAGE.md#weights", "docs/faq.md") == "[a](PACKAGE.md#weights)"
    assert hooks.followed("a", "../web/README.md", "docs/faq.md") == "[a](browser.md)"
    assert hooks.followed("a", "docs/faq.md", "CONTRIBUTING.md") == "[a](faq.md)"
    assert hooks.followed("a", "c/README.md", "examples/README.md") == "a (`examples/c/README.md`)"
    assert hooks.followed("a", "https://example.org/", "docs/faq.md") == "[a](https://example.org/)"
    picture = hooks.followed("a", "../docs/images/x.png", "android_demo/README.md", "!")
    assert picture == "![a](images/x.png)"
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        hooks.followed("a", "elsewhere.png", "web/README.md", "!")
    with pytest.raises(FileNotFoundError, match="no-such-page"):
        hooks.followed("a", "no-such-page.md", "CONTRIBUTING.md")


def test_pages_that_are_named_become_links(hooks: ModuleType) -> None:
    text = hooks._NAMED.sub(lambda found: hooks.named(found[1], "faq.md"), "(docs/PACKAGE.md)")
    assert text == "([The package format, version 1](/docs/PACKAGE.md))"


def test_the_command_line_page_has_every_verb(
    hooks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpt2_edge_cli.registry import VERBS

    monkeypatch.setenv("COLUMNS", "80")  # command_line changes both
    monkeypatch.setenv("NO_COLOR", "")
    page = hooks.command_line()
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == list(VERBS)
    assert page.count("usage: gpt2-edge") == len(VERBS) + 1


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ('<img src="there.png"><a href="https://example.org">x</a>', None),
        ('<script src="https://example.org/x.js"></script>', "asks another host"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "asks another host"),
        ('<img src="gone.png">', "asks for gone.png, which is not there"),
    ],
)
def test_what_a_page_asks_for(tmp_path: Path, page: str, problem: str | None) -> None:
    (tmp_path / "there.png").touch()
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    found = tool("docs").problems(tmp_path / "index.html", tmp_path)
    assert found == [] if problem is None else problem in found[0]


def test_a_style_may_not_ask_another_host(tmp_path: Path) -> None:
    style = tmp_path / "site.css"
    style.write_text("@import 'https://example.org/a.css'; a{background:url(data:x)}", "utf-8")
    (problem,) = tool("docs").problems(style, tmp_path)
    assert "asks another host: https://example.org/a.css" in problem
