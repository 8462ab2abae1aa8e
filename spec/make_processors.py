"""Write spec/processors.json: what each processor makes of some logits, for every runtime's tests.

python spec/make_processors.py

The rules are written out once more here, plainly and without NumPy, from transformers'
documentation and OpenAI's, so that the examples do not come from the code that they check.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("processors.json")
LOGITS = [1.5, -0.5, 0.25, 3.0, -2.0, 0.0]
NEVER = -math.inf

Rule = Callable[..., list[float]]


def repetition_penalty(
    text: list[int], prompt: int, logits: list[float], value: Any
) -> list[float]:
    return [(x * value if x < 0 else x / value) if i in text else x for i, x in enumerate(logits)]


def presence_penalty(text: list[int], prompt: int, logits: list[float], value: Any) -> list[float]:
    return [x - value * (i in text[prompt:]) for i, x in enumerate(logits)]


def frequency_penalty(text: list[int], prompt: int, logits: list[float], value: Any) -> list[float]:
    return [x - value * text[prompt:].count(i) for i, x in enumerate(logits)]


def no_repeat_ngram_size(
    text: list[int], prompt: int, logits: list[float], value: Any
) -> list[float]:
    seen = {tuple(text[i : i + value]) for i in range(len(text) - value + 1)}
    end = text[len(text) - value + 1 :] if value > 1 else []
    return [NEVER if (*end, i) in seen else x for i, x in enumerate(logits)]


def sequence_bias(text: list[int], prompt: int, logits: list[float], value: Any) -> list[float]:
    result = list(logits)
    for number, (tokens, bias) in enumerate(value):
        if any(other == tokens for other, _ in value[number + 1 :]):
            continue  # the last of them counts
        before = tokens[:-1]
        if not before or (len(tokens) <= len(text) and text[-len(before) :] == before):
            result[tokens[-1]] += bias
    return result


def bad_words_ids(text: list[int], prompt: int, logits: list[float], value: Any) -> list[float]:
    return sequence_bias(text, prompt, logits, [(tokens, NEVER) for tokens in value])


def suppress_tokens(text: list[int], prompt: int, logits: list[float], value: Any) -> list[float]:
    return [NEVER if i in value else x for i, x in enumerate(logits)]


def begin_suppress_tokens(
    text: list[int], prompt: int, logits: list[float], value: Any
) -> list[float]:
    return suppress_tokens(text, prompt, logits, value if len(text) == prompt else [])


def min_new_tokens(text: list[int], prompt: int, logits: list[float], value: Any) -> list[float]:
    least, eos = value
    return suppress_tokens(text, prompt, logits, eos if len(text) - prompt < least else [])


def cases() -> list[tuple[str, Rule, Any, list[int], int]]:
    """Name, rule, value of the setting, ids so far, how many of them are the prompt."""
    return [
        ("tokens of prompt and text, negative ones too", repetition_penalty, 2.0, [0, 1, 3], 1),
        ("a penalty below 1 favours", repetition_penalty, 0.5, [2, 4], 2),
        ("new tokens only", presence_penalty, 0.75, [0, 3, 3, 2], 1),
        ("a negative presence favours", presence_penalty, -1.0, [5, 1], 1),
        ("for every time", frequency_penalty, 0.5, [3, 3, 3, 2], 1),
        ("none in the new text", frequency_penalty, 0.5, [3, 3], 2),
        ("a pair does not come again", no_repeat_ngram_size, 2, [0, 1, 0, 2, 0], 1),
        ("three do not", no_repeat_ngram_size, 3, [1, 2, 3, 5, 1, 2], 2),
        ("a text shorter than that", no_repeat_ngram_size, 4, [1, 1], 1),
        ("no token twice", no_repeat_ngram_size, 1, [4, 2], 1),
        ("one token always", sequence_bias, [([1], 2.5)], [0], 1),
        (
            "several behind their beginning",
            sequence_bias,
            [([0, 2], -4.0), ([3, 2], 1.0)],
            [5, 0],
            1,
        ),
        ("longer than the text", sequence_bias, [([0, 1, 2], 9.0)], [0, 1], 1),
        ("as long as the text", sequence_bias, [([0, 1, 2], 9.0)], [5, 0, 1], 1),
        (
            "of equal ones the last",
            sequence_bias,
            [([1], 2.5), ([0, 2], 1.0), ([1], -1.0)],
            [3, 0],
            1,
        ),
        ("words of one and of two tokens", bad_words_ids, [[3], [2, 0]], [1, 2], 1),
        ("a word that has not begun", bad_words_ids, [[2, 0]], [1, 1], 1),
        ("never", suppress_tokens, [0, 5], [1], 1),
        ("not at the beginning", begin_suppress_tokens, [3], [1, 2], 2),
        ("later they may come", begin_suppress_tokens, [3], [1, 2], 1),
        ("no end yet", min_new_tokens, (2, [0, 3]), [1, 2], 1),
        ("now it may end", min_new_tokens, (2, [0, 3]), [1, 2, 2], 1),
    ]


def main() -> None:
    """Write all cases; minus infinity stands as null."""
    written = []
    for name, rule, value, text, prompt in cases():
        result = [None if x == NEVER else x for x in rule(text, prompt, LOGITS, value)]
        written.append(
            {"setting": rule.__name__, "name": name, "value": value, "ids": text}
            | {"prompt": prompt, "expect": result}
        )
    about = "Logits after a processor (null: never). prompt: how many of ids are not new."
    lines = ",\n".join(f"  {json.dumps(case)}" for case in written)
    head = f'{{\n "about": {json.dumps(about)},\n "logits": {json.dumps(LOGITS)},\n "cases": [\n'
    FILE.write_text(f"{head}{lines}\n ]\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
