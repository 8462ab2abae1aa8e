"""examples/batch_file.py: JSON Lines in and out, and what an interrupted run leaves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from examples.running import load

BEGINNINGS = ["The sea", "He said", 'A "quoted" word', "Ein schöner Tag", "Once"]
PROMPTS = [f"{BEGINNINGS[number % 5]} {number}" for number in range(19)]


@pytest.fixture(scope="module")
def batch() -> ModuleType:
    return load("batch_file.py")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("batch") / "prompts.jsonl"
    lines = [json.dumps({"prompt": prompt}, ensure_ascii=False) for prompt in PROMPTS]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def main(batch: ModuleType, *arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["batch_file.py", *map(str, arguments)])
        batch.main()


@pytest.fixture(scope="module")
def whole(batch: ModuleType, prompts: Path, sample_int4: Path) -> bytes:
    """What one run without an interruption writes."""
    main(batch, sample_int4, prompts, prompts.with_name("whole.jsonl"))
    return prompts.with_name("whole.jsonl").read_bytes()


def test_a_line_for_each_prompt_in_order(whole: bytes) -> None:
    answers = [json.loads(line) for line in whole.splitlines()]
    assert [answer["prompt"] for answer in answers] == PROMPTS
    assert all(answer["text"] and answer["finish_reason"] for answer in answers)
    assert len({answer["text"] for answer in answers}) == len(PROMPTS)


@pytest.mark.parametrize(("lines", "torn"), [(0, 3), (5, 40), (16, 0), (17, 3), (18, 40), (19, 0)])
def test_it_goes_on_where_it_was_broken_off(
    batch: ModuleType,
    prompts: Path,
    sample_int4: Path,
    whole: bytes,
    tmp_path: Path,
    lines: int,
    torn: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    complete = b"".join(whole.splitlines(keepends=True)[:lines])
    output = tmp_path / "texts.jsonl"
    output.write_bytes(whole[: len(complete) + torn])
    main(batch, sample_int4, prompts, output)
    assert output.read_bytes() == whole
    runs = capsys.readouterr().err.splitlines()
    done = (complete + whole[len(complete) :][:torn]).count(b"\n")
    assert len(runs) == (2 if done < 16 else 1 if done < 19 else 0)  # batches that were computed


@pytest.mark.parametrize("content", [b"my notes", b'{"prompt": "other"}\n', b"\n", b"\n\n\n"])
def test_another_file_is_not_touched(
    batch: ModuleType, prompts: Path, sample_int4: Path, tmp_path: Path, content: bytes
) -> None:
    output = tmp_path / "texts.jsonl"
    output.write_bytes(content)
    with pytest.raises(ValueError, match="line 1 is not of these prompts"):
        main(batch, sample_int4, prompts, output)
    assert output.read_bytes() == content


@pytest.mark.parametrize("line", ["", "[]", "{", '{"prompt": 1}', '{"prompt": ""}', "[" * 100_000])
def test_a_line_without_a_prompt_is_named(batch: ModuleType, tmp_path: Path, line: str) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(f'{{"prompt": "It was"}}\n{line}\n{{"prompt": "It was"}}\n', "utf-8")
    with pytest.raises(ValueError, match=r"prompts\.jsonl, line 2: expected"):
        batch.read_prompts(file)
