"""Everything deterministic is what transformers' generate writes, token for token, in fp32."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge import Generator

RECORDED = Path(__file__).with_name("transformers.json")
TOKENS = 24
PROMPTS = [
    "It was a dark and stormy night", "What do you", "The old man said", "Once upon a time",
    "My dear friend, I have never", "She opened the door, and", "The sea, the sea, the sea, the",
    '"I do not know," said the', "In the morning he", "There was a little", "Of all the things",
    "He was a tall man with a", "The king and the queen", "They went down to the river and",
    "No one had ever", "At last the train", "The first of the letters", "I have been told that",
    "A hundred years ago", "The house stood on", "You must not", "When the war was over",
    "The doctor looked at him, and he", "It is a truth", "Away, away, away",
]  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "repetition_penalty": {"repetition_penalty": 1.3},
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 2},
    "bad_words_ids": {"bad_words_ids": [[13], [285, 263], [11]]},
    "sequence_bias": {"sequence_bias": [[[263], -4.0], [[11, 290], 5.0], [[13], 2.5]]},
    "suppress_tokens": {"suppress_tokens": [11, 13, 263]},
    "begin_suppress_tokens": {"begin_suppress_tokens": [11, 13, 263, 290, 198]},
    "min_new_tokens": {"min_new_tokens": 15, "eos_token_id": [13, 11]},
    "eos_token_id": {"eos_token_id": [13]},
    "several": {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "suppress_tokens": [13]},
    "2 beams": {"num_beams": 2},
    "3 beams that end early": {"num_beams": 3, "early_stopping": True, "eos_token_id": [13, 11]},
    "3 beams that end": {"num_beams": 3, "eos_token_id": [13]},
    "4 beams, long": {"num_beams": 4, "length_penalty": 2.0, "eos_token_id": [13]},
    "4 beams, short": {"num_beams": 4, "length_penalty": -1.0, "eos_token_id": [13]},
    "5 beams that never end early": {
        "num_beams": 5, "early_stopping": "never", "length_penalty": 0.5, "eos_token_id": [11]
    },
    "3 beams without pairs twice": {"num_beams": 3, "no_repeat_ngram_size": 2},
    "5 beams with a penalty": {"num_beams": 5, "repetition_penalty": 1.5, "eos_token_id": [13]},
}  # fmt: skip
CASES = [(name, number) for name in SETTINGS for number in range(len(PROMPTS))]


def ours(generator: Generator, name: str) -> list[list[int]]:
    """Greedily continued prompts; beams one by one, the others in one batch."""
    settings: Any = SETTINGS[name] | {"max_new_tokens": TOKENS}
    if "eos_token_id" not in settings:
        settings["ignore_eos"] = True
    results = generator.generate_batch(PROMPTS, **settings)
    return [list(result.ids) for result in results]


@pytest.mark.parametrize("name", SETTINGS)
def test_texts_are_those_recorded_of_transformers(fp32: Generator, name: str) -> None:
    recorded = json.loads(RECORDED.read_text("utf-8"))
    assert recorded["prompts"] == [fp32.encode(prompt) for prompt in PROMPTS]
    assert recorded["settings"][name] == SETTINGS[name]
    assert ours(fp32, name) == recorded["texts"][name]


@pytest.mark.optimum
def test_the_records_are_what_transformers_writes(sample_checkpoint: Path) -> None:
    recorded = json.loads(RECORDED.read_text("utf-8"))
    write = transformers_writer(sample_checkpoint)
    for name in SETTINGS:
        assert [write(ids, name) for ids in recorded["prompts"]] == recorded["texts"][name]


def transformers_writer(checkpoint: Path) -> Callable[[list[int], str], list[int]]:
    """A function from a prompt and a name of SETTINGS to transformers' text."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.set_num_threads(1)
    model = transformers.GPT2LMHeadModel.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    ).eval()

    def write(ids: list[int], name: str) -> list[int]:
        settings = dict(SETTINGS[name])
        if "sequence_bias" in settings:
            settings["sequence_bias"] = [[list(t), b] for t, b in settings["sequence_bias"]]
        eos = settings.pop("eos_token_id", None)
        config = transformers.GenerationConfig(
            max_new_tokens=TOKENS, do_sample=False, pad_token_id=0, eos_token_id=eos, **settings
        )
        with torch.no_grad():
            found = model.generate(torch.tensor([ids]), generation_config=config)[0].tolist()
        new: list[int] = found[len(ids) :]
        return new

    return write


def record(checkpoint: Path, generator: Generator) -> None:
    """Write transformers.json: python -c with this module, in the environment [optimum]."""
    prompts = [generator.encode(prompt) for prompt in PROMPTS]
    write = transformers_writer(checkpoint)
    texts = {name: [write(ids, name) for ids in prompts] for name in SETTINGS}
    content = {"prompts": prompts, "settings": SETTINGS, "texts": texts}
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    RECORDED.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
