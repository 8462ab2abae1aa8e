"""What CONTRIBUTING.md and the files for contributors name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpt2_edge._version import __version__

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md"]
_ENDS = (".py", ".md", ".ts", ".kt", ".json", ".toml", ".yaml", ".yml", ".sh")
# Files in Kotlin are named without their folder, which stands beside them in the sentence.
_KOTLIN = ROOT / "android_demo" / "core" / "src"


def quoted(page: str) -> list[str]:
    """What stands in backticks, fenced blocks left out."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def is_there(name: str) -> bool:
    if "/" not in name and name.endswith(".kt"):
        return any(_KOTLIN.rglob(name))
    return any(ROOT.glob(name.rstrip("/")))


def paths(page: str) -> list[str]:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    return [
        name
        for name in quoted(page)
        if " " not in name and (name.endswith(_ENDS) or name.split("/")[0] in folders)
    ]


def test_the_pages_name_paths() -> None:
    assert len(paths("CONTRIBUTING.md")) > 80
    assert not is_there("runtime/gpt2_edge/no_such_file.py")


@pytest.mark.parametrize("page", PAGES)
def test_every_path_exists(page: str) -> None:
    assert [name for name in paths(page) if not is_there(name)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text("utf-8"))
    local = [link for link in links if not link.startswith("https://")]
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = [name.split()[1] for page in PAGES for name in quoted(page) if name[:5] == "make "]
    assert named
    assert set(named) <= targets


def test_names_stand_in_the_file_behind_them() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    pairs = re.findall(r"`(\w+)` in\s+`([\w/.]+\.py)`", text)
    assert len(pairs) > 10
    missing = [
        (name, path)
        for name, path in pairs
        if not re.search(rf"\b{name}\b", (ROOT / path).read_text("utf-8"))
    ]
    assert missing == []


def test_the_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.findall(r"^version: (.*)$", text, re.MULTILINE) == [__version__]
    assert f"`{__version__}`" in (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.parametrize("file", [".pre-commit-config.yaml", ".github/workflows/tests.yml"])
def test_checks_elsewhere_are_those_of_make(file: str) -> None:
    lint = set(re.findall(r"\$\(BIN\)/((?:ruff|mypy).*)", (ROOT / "Makefile").read_text("utf-8")))
    assert len(lint) == 4
    text = (ROOT / file).read_text("utf-8")
    for command in lint:
        assert command.removesuffix(" .") in text


def test_ci_elsewhere_runs_what_ours_runs() -> None:
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
    assert re.search(r"^ +\.ci/run$", workflow, re.MULTILINE)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
