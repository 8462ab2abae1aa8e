"""spec/decoding.json, which every runtime runs: whole texts of a scripted model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from byte_level import byte_level_tokenizer
from gpt2_edge import GenerationConfig, GenerationError
from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.request import SingleText
from gpt2_edge.decode.window import fitted, slid
from gpt2_edge.requests import Extras, RequestMaker
from gpt2_edge.text.tokenizer import Tokenizer
from helpers import assert_one_line

_FILE = Path(__file__).resolve().parents[2] / "spec" / "decoding.json"
SPEC: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))
VOCAB = len(SPEC["vocabulary"])

Floats = npt.NDArray[np.float32]


def model(window: Sequence[int]) -> Floats:
    """Logits [vocab] as the file says."""
    state = sum((place + 1) * (token + 1) for place, token in enumerate(window))
    return np.array([((state * (2 * t + 3) + 5 * t * t) % 19) / 4 for t in range(VOCAB)], "f4")


class ScriptedRow:
    """Rows of the model, one of them; prompts are read in parts of three tokens."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.ids: list[list[int]] = [[]]

    def step(self, rows: Sequence[int], tokens: Sequence[Sequence[int]], keep: int = 1) -> Floats:
        assert (list(rows), keep) == ([0], 1)
        assert 0 < len(tokens[0]) <= self.capacity - len(self.ids[0])
        self.ids[0] += tokens[0]
        return model(self.ids[0])[None, None]

    def span(self, rows: Sequence[int]) -> int:
        return len(rows)

    def read(self, row: int, tokens: Sequence[int]) -> tuple[int, Floats | None]:
        count = min(3, len(tokens))
        logits = self.step([row], [tokens[:count]])[0, 0]
        return count, logits if count == len(tokens) else None

    def trim(self, row: int, length: int) -> None:
        del self.ids[row][length:]

    def copy(self, source: int, target: int) -> None:
        raise AssertionError("there is one row")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("spec")
    return byte_level_tokenizer(folder, SPEC["vocabulary"], SPEC["special"])


def run(case: dict[str, Any], tokenizer: Tokenizer) -> SingleText:
    config = GenerationConfig(**case["settings"]).resolved()
    prompt = case["prompt"]
    if config.context_overflow == "slide":
        prompt = fitted(prompt, case["capacity"], config.keep)
    maker = RequestMaker(prompt, config, tokenizer, SPEC["eos_token_ids"], VOCAB, Extras())
    request = maker.single(config.seed)
    decoder = Decoder(ScriptedRow(case["capacity"]))
    decoder.submit(request)
    while not request.over:
        decoder.step()
    if request.error is not None:
        raise request.error
    return request


@pytest.mark.parametrize("case", SPEC["cases"], ids=lambda case: case["name"])
def test_texts(case: dict[str, Any], tokenizer: Tokenizer) -> None:
    request, expected = run(case, tokenizer), case["expect"]
    assert request.new_ids == expected["ids"]
    assert [event.text for event in request.events] == expected["pieces"]
    assert [i for event in request.events for i in event.ids] == expected["ids"]
    assert request.finish_reason == expected["finish_reason"]
    logprobs = [p for event in request.events for p in event.logprobs]
    assert logprobs == pytest.approx(expected.get("logprobs", []), abs=1e-5)
    alternatives = [pairs for event in request.events for pairs in event.top_logprobs]
    expected_pairs = expected.get("top_logprobs", [])
    assert [[i for i, _ in pairs] for pairs in alternatives] == [
        [i for i, _ in pairs] for pairs in expected_pairs
    ]
    for found, pairs in zip(alternatives, expected_pairs, strict=True):
        assert [p for _, p in found] == pytest.approx([p for _, p in pairs], abs=1e-5)


@pytest.mark.parametrize("case", SPEC["refused"], ids=lambda case: case["name"])
def test_what_is_refused(case: dict[str, Any], tokenizer: Tokenizer) -> None:
    with pytest.raises(GenerationError) as raised:
        run(case, tokenizer)
    assert_one_line(raised.value, case["refused"])


@pytest.mark.parametrize("case", SPEC["windows"], ids=str)
def test_windows(case: dict[str, Any]) -> None:
    assert slid(case["ids"], case["keep"]) == case["expect"]


@pytest.mark.parametrize("case", SPEC["prompts"], ids=str)
def test_prompts(case: dict[str, Any]) -> None:
    assert fitted(case["ids"], case["capacity"], case["keep"]) == case["expect"]
