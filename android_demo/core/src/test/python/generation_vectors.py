"""What the Python runtime writes with each package: tokens, and options for the next one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.measure.score import continuation, perplexity, score_tokens, text_perplexity

_PROMPTS = ["The animal", '"What do you', "Once upon a time there was a king who had three"]
_TOKENS = 200
_SEED = 20240229
_GREEDY = GenerationConfig(max_new_tokens=_TOKENS, ignore_eos=True)
_SEEDED = GenerationConfig(
    max_new_tokens=_TOKENS, temperature=0.8, top_k=40, seed=_SEED, ignore_eos=True
)
_SLIDING = GenerationConfig(
    max_new_tokens=40, context_overflow="slide", keep=5, ignore_eos=True, logprobs=True
)
_EVERYTHING = GenerationConfig(
    max_new_tokens=60,
    min_new_tokens=60,
    temperature=0.9,
    top_k=0,
    top_p=0.97,
    min_p=0.01,
    typical_p=0.95,
    seed=_SEED,
    repetition_penalty=1.2,
    presence_penalty=0.3,
    frequency_penalty=0.2,
    no_repeat_ngram_size=3,
    bad_words_ids=[[11], [262, 264]],
    logit_bias={13: -1.5},
    suppress_tokens=[198],
    begin_suppress_tokens=[12],
    logprobs=True,
    top_logprobs=3,
)
_SCORED = (2, 16, 17, 18, 130, 146, 512, 513)
_CUTS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.0},
    {"temperature": 0.7},
    {"top_k": 4},
    {"top_p": 0.2},
    {"temperature": 1.3, "top_k": 40, "top_p": 0.9},
]
_LONG_PROMPTS = (1, 2, 15, 16, 17, 128, 129, 130, 145, 256, 257, 258, 273, 385, 511, 512)


def vectors(packages: Path, names: list[str]) -> dict[str, Any]:
    found = {name: of_package(packages / name) for name in names}
    return {"onnxruntime": onnxruntime.__version__, "seed": _SEED, "packages": found}


def of_package(folder: Path) -> dict[str, Any]:
    generator = Generator.load(folder)
    runs = []
    vocabulary = generator.manifest.architecture.vocab_size
    for number, prompt in enumerate(_PROMPTS):
        ids: Any = prompt
        if generator.tokenizer is None:
            ids = [(7 + 31 * number * i) % vocabulary for i in range(20)]
        greedy = generator.generate(ids, _GREEDY)
        seeded = generator.generate(ids, _SEEDED)
        runs.append(
            {
                "prompt": prompt,
                "prompt_ids": generator.encode(ids),
                "greedy": list(greedy.ids),
                "greedy_text": greedy.text,
                "seeded": list(seeded.ids),
                "seeded_text": seeded.text,
                "next": [[n.id, n.text, n.probability] for n in generator.next_tokens(ids, 5)],
            }
        )
    return {
        "runs": runs,
        "prefill": prefills(generator),
        "sliding": ids_and_logprobs(generator, _SLIDING, generator.context_length + 100),
        "everything": ids_and_logprobs(generator, _EVERYTHING, 20),
        "scores": scores(generator),
        "after_settings": options_after_settings(generator),
    }


def scores(generator: Generator) -> dict[str, Any]:
    """Lengths that chunks of 128 and groups of 16 cut differently, and windows past the context."""
    vocabulary = generator.vocab_size
    found: dict[str, Any] = {"tokens": [], "perplexity": []}
    for length in _SCORED:
        ids = [(i * i * 13 + 5 * i + length) % vocabulary for i in range(length)]
        for bos in (False, True):
            if length + bos > generator.context_length + 1:
                continue
            tokens = score_tokens(generator, ids, bos=bos)
            listed = [[t.id, t.text, t.logprob, t.rank] for t in tokens]
            found["tokens"].append({"ids": ids, "bos": bos, "expect": listed})
    long = [(i * i * 7 + 3 * i) % vocabulary for i in range(generator.context_length + 300)]
    for window, stride, bos in ((None, None, False), (100, 30, True), (64, 64, False)):
        result = perplexity(generator, long, window, stride, bos=bos)
        found["perplexity"].append(
            {"ids": long, "window": window, "stride": stride, "bos": bos} | measured(result)
        )
    split = continuation(generator, long, long[:40])
    alone = continuation(generator, [], long[:5])
    found["continuation"] = [
        [long, long[:40], list(split.logprobs), split.greedy],
        [[], long[:5], list(alone.logprobs), alone.greedy],
    ]
    if generator.tokenizer is not None:
        found["texts"] = [
            {"text": text, "bos": bos} | measured(text_perplexity(generator, text, bos=bos))
            for text in ("The animal was tired.", "é\U0001f642 was here")
            for bos in (False, True)
        ]
    return found


def measured(result: Any) -> dict[str, Any]:
    return {
        "tokens": result.tokens,
        "loss": result.negative_log_likelihood,
        "error": result.standard_error,
        "perplexity": result.perplexity,
        "bytes": result.text_bytes,
        "bits": result.bits_per_byte,
    }


def options_after_settings(generator: Generator) -> list[dict[str, Any]]:
    """The next tokens as settings leave them, of a cache that grew by a token and without one."""
    prompt = [(i * 17 + 3) % generator.vocab_size for i in range(30)]
    found = []
    for settings in _CUTS:
        options = generator.next_tokens(prompt, 6, **settings)
        found.append({"settings": settings, "expect": [[o.id, o.probability] for o in options]})
    cache = generator.new_cache()
    generator.next_tokens(prompt[:-1], 6, cache=cache)
    options = generator.next_tokens(prompt, 6, cache=cache)
    stepped = [[o.id, o.probability] for o in options]
    return [*found, {"settings": None, "expect": stepped}]


def ids_and_logprobs(generator: Generator, config: GenerationConfig, length: int) -> dict[str, Any]:
    """What `config` makes of a prompt of `length` tokens."""
    prompt = [(i * i * 17 + 3 * i) % generator.vocab_size for i in range(length)]
    result = generator.generate(prompt, config)
    found = {"prompt": prompt, "ids": list(result.ids), "logprobs": list(result.logprobs or ())}
    return found | {"top_logprobs": result.top_logprobs}


def prefills(generator: Generator) -> list[dict[str, Any]]:
    """The bits of some logits after prompts of lengths that chunks and tiles cut differently."""
    vocabulary = generator.manifest.architecture.vocab_size
    found = []
    for length in _LONG_PROMPTS:
        ids = [(i * i * 31 + 7 * i + length) % vocabulary for i in range(length)]
        logits = generator.session.start(length).prefill(ids)
        assert logits is not None
        bits = np.ascontiguousarray(logits).view(np.int32)
        found.append(
            {"ids": ids, "first": bits[:20].tolist(), "sum": int(bits.astype(np.int64).sum())}
        )
    return found
