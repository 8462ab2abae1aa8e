"""tools/docs_output.py: which blocks of a page are run, and when an output is written again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from program_file import load_program

ROOT = Path(__file__).resolve().parents[2]
NEXT = ' 27.6%  " mean"\n 19.2%  " want"\n 14.5%  " think"\n'
PAGE = """# A page

```console
$ echo one \\
    two
one two
$ true
$ echo "it took 3.2 s"
it took 1.0 s
```

```python
print("a", 0.5)
```

```text title="Output"
a 0.5
```

```console title="Not run by the tests: it fails"
$ false
```
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_program(ROOT / "tools" / "docs_output.py")


@pytest.fixture
def variables() -> dict[str, str]:
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": folders}


def test_a_page_is_its_commands_and_its_python_each_with_its_output(tool: ModuleType) -> None:
    found = [(step.language, step.code, step.output) for step in tool.steps(PAGE)]
    assert found == [
        ("console", "echo one two", "one two\n"),
        ("console", "true", ""),
        ("console", 'echo "it took 3.2 s"', "it took 1.0 s\n"),
        ("python", 'print("a", 0.5)\n', "a 0.5\n"),
    ]
    for step in tool.steps(PAGE):
        assert PAGE[step.start : step.end] == step.output


@pytest.mark.parametrize(
    "page",
    [
        "```bash\n$ true\n```\n",
        "```console\nan output\n$ true\n```\n",
        '```console title="Something"\n$ true\n```\n',
        '```text title="Output"\nof nothing\n```\n',
        '```python\nprint(1)\n```\nWords.\n```text title="Output"\n1\n```\n',
    ],
)
def test_a_block_that_breaks_the_rules_is_told(tool: ModuleType, page: str) -> None:
    with pytest.raises(ValueError):
        tool.steps(page)


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (' 27.1%  " mean"\n 17.5%  " want"\n 16.0%  " think"\n', NEXT),
        (' 27.6%  " mean"\n 16.0%  " think"\n 15.9%  " want"\n', NEXT),  # changed places
        (" 33.8%  6 others\n", " 27.7%  6 others\n"),
        ("▇The █animal ▂cross\n", "▆The █animal ▄cross\n"),
        ("5.2 MB, self-test of 6 tokens, 66.0 s\n", "5.3 MB, self-test of 7 tokens, 19.2 s\n"),
        ("prompt 1,234 tok/s\n", "prompt 99 tok/s\n"),
        ("KL divergence 0.00417\n", "KL divergence 0.00396\n"),
        ("score -1.6551\n", "score -1.6805\n"),
        ('"drawn":0.139\n', '"drawn":0.179\n'),
    ],
)
def test_another_processor_prints_the_like(tool: ModuleType, printed: str, shown: str) -> None:
    assert tool.alike(printed, shown)


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (' 27.1%  " mean"\n 17.5%  " want"\n 16.0%  " hope"\n', NEXT),
        (' 27.1%  " mean"\n 17.5%  " want"\n', NEXT),
        (' 38.1%  " mean"\n 19.2%  " want"\n 14.5%  " think"\n', NEXT),
        ("7 tokens, 26 characters\n", "6 tokens, 26 characters\n"),
        ("KL divergence 0.00417\n", "KL divergence 0.00796\n"),
        ('"drawn":0.139\n', '"drawn":0.279\n'),
        ("99% under 0.0241\n", "99% under 0.0541\n"),
        ("score 1.68\n", "score -1.68\n"),
        ("20,480 tokens\n", "20,481 tokens\n"),
        ("it took 3 s\n", "it needed 3 s\n"),
        ("", "one\n"),
    ],
)
def test_what_has_changed_is_not_alike(tool: ModuleType, printed: str, shown: str) -> None:
    assert not tool.alike(printed, shown)


def test_long_json_is_broken_between_its_values(tool: ModuleType) -> None:
    value = '{"id":1,"text":"a, b"}'
    line = f'{{"options":[{value},{value},{value}],"last":{value},"count":3}}'
    broken = f'{{"options":[{value},\n {value},\n {value}],\n "last":{value},\n "count":3}}\n'
    assert tool.as_shown(line) == broken
    assert tool.as_shown('{"a":[{}],"b":1}\n') == '{"a":[{}],"b":1}\n'


def test_a_page_that_tells_the_truth_stays_as_it_is(
    tool: ModuleType, tmp_path: Path, variables: dict[str, str]
) -> None:
    assert tool.refreshed(PAGE, tmp_path, variables) == PAGE


def test_what_has_changed_is_written_in_its_place(
    tool: ModuleType, tmp_path: Path, variables: dict[str, str]
) -> None:
    stale = PAGE.replace("\none two\n", "\none\nthree\n").replace("\na 0.5\n", "\nb 0.5\n")
    assert stale.count("three") == 1
    assert tool.refreshed(stale, tmp_path, variables) == PAGE


def test_only_what_shows_an_output_is_run(
    tool: ModuleType, tmp_path: Path, variables: dict[str, str]
) -> None:
    page = PAGE.replace("$ true", "$ touch was-run")
    tool.refreshed(page, tmp_path, variables)
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_fails_is_told(
    tool: ModuleType, tmp_path: Path, variables: dict[str, str]
) -> None:
    page = PAGE.replace("$ echo one", "$ echo here; false")
    with pytest.raises(RuntimeError, match="false"):
        tool.refreshed(page, tmp_path, variables)


def test_every_page_keeps_the_rules(tool: ModuleType) -> None:
    found = [tool.steps((ROOT / page).read_text("utf-8")) for page in tool.pages()]
    assert sum(bool(step.output) for steps in found for step in steps) >= 9
