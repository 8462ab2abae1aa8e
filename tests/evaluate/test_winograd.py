"""Winograd schemas: how options are written into the sentence, and both scorings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2_edge import Generator
from gpt2_edge.errors import EvaluationError
from gpt2_edge.measure.evaluate import winograd
from gpt2_edge.measure.evaluate.scoring import TextScorer
from gpt2_edge.measure.evaluate.winograd import substitute
from helpers import assert_one_line

LogProbabilities = Callable[[Sequence[int], Sequence[int]], np.ndarray]

ROWS: list[dict[str, Any]] = [
    {
        "before": "The man could not lift his son because",
        "pronoun": "he",
        "after": "was so heavy.",
        "options": ["The man", "The son"],
        "label": 1,
    },
    {
        "before": "The dog chased the cat.",
        "pronoun": "It",
        "after": "was afraid.",
        "options": ["the dog", "the cat"],
        "label": 1,
    },
    {
        "before": "The man lifted the boy onto",
        "pronoun": "his",
        "after": "shoulders.",
        "options": ["The man", "The boy"],
        "label": 0,
    },
    {
        "before": "The foxes attacked the chickens. I shall have to kill",
        "pronoun": "them",
        "after": ".",
        "options": ["The foxes", "The chickens"],
        "label": 0,
    },
]
SENTENCES = [
    ("The man could not lift his son because the man", " was so heavy."),
    ("The man could not lift his son because the son", " was so heavy."),
    ("The dog chased the cat. The dog", " was afraid."),
    ("The dog chased the cat. The cat", " was afraid."),
    ("The man lifted the boy onto the man's", " shoulders."),
    ("The man lifted the boy onto the boy's", " shoulders."),
    ("The foxes attacked the chickens. I shall have to kill the foxes", "."),
    ("The foxes attacked the chickens. I shall have to kill the chickens", "."),
]


def test_options_are_written_as_the_sentence_needs_them(
    write_rows: Callable[..., Path],
) -> None:
    problems = winograd.read(write_rows(*ROWS))
    written = [(s.beginning, s.rest) for problem in problems for s in problem.substitutions]
    assert written == SENTENCES
    assert [problem.label for problem in problems] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("parts", "option", "expected"),
    [
        (("", "They", "left."), "my parents", "My parents left."),
        (("He opened", "them", "when"), "His eyes", "He opened his eyes when"),
        (("Tom said that", "he", "left."), "Tom", "Tom said that Tom left."),
        (("so", "they", "were lost."), "Kamchatka", "so Kamchatka were lost."),
        (("took", "his", '"Dibs!" back.'), "Bill", 'took Bill\'s "Dibs!" back.'),
        (("Ann saw", "her", "."), "Susan", "Ann saw Susan."),
        (("Ann saw", "her", "cat."), "Susan", "Ann saw Susan's cat."),
        (("and ", " she ", " left."), " Anne ", "and Anne left."),
    ],
)
def test_substitution(parts: tuple[str, str, str], option: str, expected: str) -> None:
    substitution = substitute(*parts, option)
    assert substitution.beginning + substitution.rest == expected


def test_choices_are_the_oracle_s(
    fp32: Generator,
    scorer: TextScorer,
    logprobs: LogProbabilities,
    write_rows: Callable[..., Path],
    silent: Callable[[str], None],
) -> None:
    expected = []
    pairs = zip(SENTENCES[::2], SENTENCES[1::2], strict=True)
    for pair in pairs:
        partial, full = [], []
        for beginning, rest in pair:
            first, second = fp32.encode(beginning), fp32.encode(rest)
            partial.append(logprobs(first, second).sum())
            full.append(logprobs([0], [*first, *second]).sum())
        expected.append((int(np.argmax(partial)), int(np.argmax(full))))
    assert fp32.manifest.bos_token_id == 0

    problems = winograd.read(write_rows(*ROWS))
    outcomes = [winograd.score(scorer, problem) for problem in problems]
    assert [(outcome.partial, outcome.full) for outcome in outcomes] == expected
    evaluation = winograd.evaluate(problems, fp32, silent)
    right = [
        (p == row["label"], f == row["label"]) for (p, f), row in zip(expected, ROWS, strict=True)
    ]
    for number, name in enumerate(("accuracy, partial scoring", "accuracy, full scoring")):
        assert evaluation.figure(name).value == 25 * sum(hits[number] for hits in right)


def test_the_order_of_the_options_decides_nothing(
    scorer: TextScorer, write_rows: Callable[..., Path]
) -> None:
    turned = [row | {"options": row["options"][::-1], "label": 1 - row["label"]} for row in ROWS]
    outcomes = [winograd.score(scorer, problem) for problem in winograd.read(write_rows(*ROWS))]
    others = [winograd.score(scorer, problem) for problem in winograd.read(write_rows(*turned))]
    for outcome, other in zip(outcomes, others, strict=True):
        assert (outcome.partial, outcome.full) == (1 - other.partial, 1 - other.full)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"before": None}, '"before" must be a string'),
        ({"pronoun": " "}, '"pronoun" and "after" must not be empty'),
        ({"after": ""}, '"pronoun" and "after" must not be empty'),
        ({"options": ["one"]}, '"options" must be a list of two strings or more'),
        ({"options": "one, two"}, '"options" must be a list of two strings or more'),
        ({"options": ["one", ""]}, '"options" must be a list of two strings or more'),
        ({"options": ["one", 2]}, '"options" must be a list of two strings or more'),
        ({"label": 2}, '"label" must be a whole number from 0 to 1'),
        ({"label": -1}, '"label" must be a whole number from 0 to 1'),
        ({"label": "0"}, '"label" must be a whole number from 0 to 1'),
        ({"label": True}, '"label" must be a whole number from 0 to 1'),
        ({"label": None}, '"label" must be a whole number from 0 to 1'),
    ],
    ids=str,
)
def test_a_wrong_row(
    write_rows: Callable[..., Path], change: dict[str, Any], expected: str
) -> None:
    path = write_rows(ROWS[0], ROWS[1] | change)
    with pytest.raises(EvaluationError) as caught:
        winograd.read(path)
    assert_one_line(caught.value, f"{path}, line 2", expected)


@pytest.mark.shared
def test_the_real_sentences_read_well(shared_data: Path) -> None:
    problems = winograd.read(shared_data / "data" / "eval" / "wsc273.jsonl")
    assert len(problems) == 273
    written = [s.beginning + s.rest for problem in problems for s in problem.substitutions]
    assert all(sentence[0].isupper() and "  " not in sentence for sentence in written)
    # A capital article stands at the beginning of a sentence only.
    for article in (" The ", " His ", " My "):
        for sentence in written:
            for position in range(len(sentence)):
                if sentence.startswith(article, position):
                    assert sentence[:position].endswith((".", "!", '"')), sentence
