"""The Children's Book Test on a hand-made file in its format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from gpt2_edge import Generator
from gpt2_edge.errors import EvaluationError
from gpt2_edge.measure.evaluate import cbt
from gpt2_edge.measure.evaluate.cbt import Example
from gpt2_edge.measure.evaluate.detokenize import detokenize
from gpt2_edge.measure.evaluate.scoring import TextScorer
from helpers import assert_one_line

LogProbabilities = Callable[[Sequence[int], Sequence[int]], np.ndarray]

STORY = [f"Sentence {number} ." for number in range(1, 18)]
EXAMPLES = [
    (
        [*STORY, "`` Where is the boat ? ''", "said the man .", "They did n't know ."],
        "The XXXXX was gone , and so was the boy 's coat .",
        "boat",
        ["coat", "boat", "Sentence"],
    ),
    (
        [*STORY, "A dog and a cat lived there .", "The dog barked .", "It was loud ."],
        "`` XXXXX ! ''",
        "dog",
        ["cat", "dog"],
    ),
]


def lines_of(sentences: list[str], query: str, answer: str, candidates: list[str]) -> list[str]:
    numbered = [f"{number} {text}" for number, text in enumerate(sentences, start=1)]
    return [*numbered, f"{len(sentences) + 1} {query}\t{answer}\t\t{'|'.join(candidates)}", ""]


@pytest.fixture
def lines() -> list[str]:
    """The lines of the examples above."""
    return [line for example in EXAMPLES for line in lines_of(*example)]


def write(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "cbtest_CN_valid.txt"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_read(tmp_path: Path, lines: list[str]) -> None:
    story = " ".join(f"Sentence {number}." for number in range(1, 18))
    path = write(tmp_path, lines)
    assert cbt.read(path) == [
        Example(
            f'{story} "Where is the boat?" said the man. They didn\'t know. The ',
            " was gone, and so was the boy's coat.",
            ("coat", "boat", "Sentence"),
            1,
        ),
        Example(
            f'{story} A dog and a cat lived there. The dog barked. It was loud. "',
            '!"',
            ("cat", "dog"),
            1,
        ),
    ]
    assert len(cbt.read(path, limit=1)) == 1


def test_choices_are_the_oracle_s(
    fp32: Generator,
    scorer: TextScorer,
    logprobs: LogProbabilities,
    tmp_path: Path,
    lines: list[str],
    silent: Callable[[str], None],
) -> None:
    examples = cbt.read(write(tmp_path, lines))
    expected = []
    for example, space in zip(examples, (" ", ""), strict=True):
        context = fp32.encode(example.before.rstrip())
        totals = [
            logprobs(context, fp32.encode(space + candidate + example.after)).sum()
            for candidate in example.candidates
        ]
        expected.append(int(np.argmax(totals)))
    assert [cbt.score(scorer, example).chosen for example in examples] == expected
    evaluation = cbt.evaluate(examples, fp32, silent)
    hits = [chosen == 1 for chosen in expected]
    assert evaluation.figure("accuracy").value == 50 * sum(hits)
    rows = {row.name: row.figures for row in evaluation.figure("accuracy").published}
    assert rows["CBT-CN"]["762M"] == 93.45
    assert rows["CBT-NE"]["1542M"] == 89.05


@pytest.mark.parametrize(
    ("number", "line", "expected"),
    [
        (3, "4 Sentence 3 .", "must be line 3 of an example"),
        (3, "Sentence 3 .", "must be line 3 of an example"),
        (21, "22 The XXXXX .\tboat\t\tboat|coat", "must be line 21 of an example"),
        (21, "21 The XXXXX .", "must be a sentence with XXXXX, a tab"),
        (21, "21 The XXXXX .\tboat\tboat|coat", "must be a sentence with XXXXX, a tab"),
        (21, "21 The boat .\tboat\t\tboat|coat", "must be a sentence with XXXXX, a tab"),
        (21, "21 The XXXXX .\tship\t\tboat|coat", "must be among two candidates or more"),
        (21, "21 The XXXXX .\tboat\t\tboat|", "must be among two candidates or more"),
        (21, "21 The XXXXX .\t\t\t|", "must be among two candidates or more"),
    ],
)
def test_a_wrong_line(
    tmp_path: Path, lines: list[str], number: int, line: str, expected: str
) -> None:
    lines[22 + number - 1] = line  # of the second example, behind the first and a blank line
    path = write(tmp_path, lines)
    with pytest.raises(EvaluationError) as caught:
        cbt.read(path)
    assert_one_line(caught.value, f"{path}, line {22 + number}", expected)


def test_a_file_that_ends_within_an_example(tmp_path: Path, lines: list[str]) -> None:
    path = write(tmp_path, lines[:30])
    with pytest.raises(EvaluationError) as caught:
        cbt.read(path)
    assert_one_line(caught.value, path, "ends after line 8 of an example")


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("`` Do n't ! '' she cried .", '"Don\'t!" she cried.'),
        ("It 's the boys ' ball , I ca n't see ;", "It's the boys' ball, I can't see;"),
        ("a ( small -RRB- and -LRB- large ) one", "a (small) and (large) one"),
        ("` Yes , ' he said -- and left ...", "'Yes,' he said -- and left..."),
        ("WE 'LL see , I DO N'T know", "WE'LL see, I DON'T know"),
        ("`` ` Both , ' '' he said", "\"'Both,'\" he said"),
        ("it cost $ 5 , or 3 % more", "it cost $5, or 3% more"),
        ("", ""),
    ],
)
def test_detokenize(tokens: str, text: str) -> None:
    assert detokenize(tokens) == text
