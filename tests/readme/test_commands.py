"""The commands and the Python of the README and of docs/, run in the site's order.

As a newcomer would: in a clean copy of the repository, in a new environment. Slow (it installs
several times), so only `make test-readme` runs it. A block that is not run says so in its title,
which readers see. What a page is made of, and when an output is the page's: tools/docs_output.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from program_file import load_program

ROOT = Path(__file__).resolve().parents[2]


docs_output = load_program(ROOT / "tools" / "docs_output.py")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows, as they are now."""
    folder = tmp_path_factory.mktemp("readme") / "gpt2-edge"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def environment(clone: Path) -> dict[str, str]:
    """A new virtual environment, active; nothing of this one shines through."""
    folder = clone.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VENV", "PYTHON")
    variables = {key: value for key, value in os.environ.items() if key not in hidden}
    return variables | {
        "VIRTUAL_ENV": str(folder),
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
    }


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_there_is_something_to_run() -> None:
    found = {page: docs_output.steps(text_of(page)) for page in docs_output.pages()}
    assert len(found) > 15
    assert sum(len(steps) for steps in found.values()) >= 30
    assert sum(bool(step.output) for steps in found.values() for step in steps) >= 9


@pytest.mark.parametrize("page", docs_output.pages())
def test_the_commands_of_a_page_do_what_it_says(
    page: str, clone: Path, environment: dict[str, str]
) -> None:
    steps = docs_output.steps(text_of(page))
    for step, printed in docs_output.ran(steps, clone, environment):
        if step.output:
            now = docs_output.as_shown(printed)
            assert docs_output.alike(now, step.output), f"{page}: make docs writes it\n{now}"
