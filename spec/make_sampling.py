"""Write spec/sampling.json: distributions and draws that every runtime must reproduce.

python spec/make_sampling.py

The sampler is written out once more here, plainly and without NumPy, so that the examples do not
come from the code that they check. Every draw stays clear of the border between two tokens, where
the last bits of a language's exp would decide.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("sampling.json")
DRAWS = 20
CLEAR = 2e-6
DEFAULTS = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0}
_MASK = (1 << 64) - 1

# Logits are the logarithms of these weights, so the probabilities are 1/4, 1/16, 1/2, 1/8, 1/16.
WEIGHTS = [4, 1, 8, 2, 1]
# Worked out by hand. Typical: the entropy is 1.875 bits, the information 2, 4, 1, 3 and 4 bits, so
# the tokens come in the order 0 (0.125 away), 2 (0.875), 3 (1.125), then 1 and 4 (2.125).
DISTRIBUTIONS: list[tuple[str, dict[str, float], list[int]]] = [
    ("nothing but the softmax", {}, [4, 1, 8, 2, 1]),
    ("temperature 0.5 squares", {"temperature": 0.5}, [16, 1, 64, 4, 1]),
    ("top_k", {"top_k": 2}, [4, 0, 8, 0, 0]),
    ("top_k among equals takes the lower id", {"top_k": 4}, [4, 1, 8, 2, 0]),
    ("top_k 0 is off", {"top_k": 0}, [4, 1, 8, 2, 1]),
    ("top_p: 1/2 is not enough, 3/4 is", {"top_p": 0.7}, [4, 0, 8, 0, 0]),
    ("top_p 0 keeps one token", {"top_p": 0.0}, [0, 0, 8, 0, 0]),
    ("top_p is a share of what top_k leaves", {"top_k": 2, "top_p": 0.65}, [0, 0, 8, 0, 0]),
    ("min_p: a fifth of the largest is 1/10", {"min_p": 0.2}, [4, 0, 8, 2, 0]),
    ("min_p 1 keeps the most likely", {"min_p": 1.0}, [0, 0, 8, 0, 0]),
    ("min_p follows temperature", {"temperature": 0.5, "min_p": 0.2}, [16, 0, 64, 0, 0]),
    ("top_p and min_p: the fewer count", {"top_p": 0.9, "min_p": 0.4}, [4, 0, 8, 0, 0]),
    ("typical_p need not keep the most likely", {"typical_p": 0.2}, [4, 0, 0, 0, 0]),
    ("typical_p of two tokens", {"typical_p": 0.7}, [4, 0, 8, 0, 0]),
    ("typical_p of three tokens", {"typical_p": 0.8}, [4, 0, 8, 2, 0]),
    ("typical_p keeps what is equally far", {"typical_p": 0.9}, [4, 1, 8, 2, 1]),
    # Of 2/3 and 1/3 the entropy is 0.918 bits, the information 0.585 and 1.585 bits.
    ("typical_p comes last", {"top_k": 2, "typical_p": 0.5}, [0, 0, 8, 0, 0]),
]


def splitmix64(seed: int) -> Iterator[int]:
    state = seed & _MASK
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        yield z ^ (z >> 31)


def uniform(seed: int, number: int) -> float:
    """Draw `number` of the generator that `seed` starts, by taking all those before it."""
    random = splitmix64(seed)
    for _ in range(number):
        next(random)
    return (next(random) >> 11) / (1 << 53)


def shares(logits: list[float], settings: dict[str, float]) -> tuple[list[int], list[float]]:
    """The tokens that `settings` leave, most likely first, with what they weigh against each other.

    Nothing may be decided by rounding.
    """
    asked = DEFAULTS | settings
    possible = (i for i, logit in enumerate(logits) if logit > -math.inf)
    order = sorted(possible, key=lambda i: (-logits[i], i))
    ids = order[: int(asked["top_k"]) or len(order)]
    weights = [math.exp((logits[i] - logits[ids[0]]) / asked["temperature"]) for i in ids]
    whole = math.fsum(weights)
    kept = len(ids)
    if asked["top_p"] < 1:
        reached = [weight / whole for weight in accumulate(weights)]
        _clear(abs(one - asked["top_p"]) for one in reached)
        kept = min(kept, 1 + sum(one < asked["top_p"] for one in reached))
    if asked["min_p"] > 0:
        _clear(abs(weight - asked["min_p"]) for weight in weights[1:])
        kept = min(kept, 1 + sum(weight >= asked["min_p"] for weight in weights[1:]))
    ids, weights = ids[:kept], weights[:kept]
    if asked["typical_p"] < 1:
        stay = _typical(weights, asked["typical_p"])
        ids, weights = [ids[n] for n in stay], [weights[n] for n in stay]
    return ids, weights


def _typical(weights: list[float], mass: float) -> list[int]:
    """Numbers of those whose information is nearest to the entropy, until they sum to `mass`."""
    whole = math.fsum(weights)
    information = [-math.log(weight / whole) for weight in weights]
    entropy = math.fsum(w / whole * bits for w, bits in zip(weights, information, strict=True))
    far = [abs(bits - entropy) for bits in information]
    order = sorted(range(len(weights)), key=lambda n: (far[n], n))
    reached = list(accumulate(weights[n] / whole for n in order))
    _clear(abs(one - mass) for one in reached)
    last = order[min(sum(one < mass for one in reached), len(order) - 1)]
    _clear(abs(one - far[last]) for one in far if one != far[last])
    return [n for n in range(len(weights)) if far[n] <= far[last]]


def token(logits: list[float], settings: dict[str, float], u: float) -> int:
    """The token that the uniform number `u` draws."""
    ids, weights = shares(logits, settings)
    borders = list(accumulate(weight / math.fsum(weights) for weight in weights))
    _clear(abs(u - border) for border in borders[:-1])
    return ids[sum(border <= u for border in borders[:-1])]


def _clear(distances: Iterator[float]) -> None:
    assert min(distances, default=1.0) > CLEAR


def made_up_logits(count: int, spread: float, seed: int) -> list[float]:
    """Multiples of 1/16, exact in float32 and in JSON; the larger lists hold many equals."""
    return [round(16 * spread * (uniform(seed, n) - 0.5)) / 16 for n in range(count)]


def cases() -> Iterator[tuple[str, list[float], dict[str, float], int]]:
    """Name, logits, settings, seed."""
    four = [0.5, 2.0, -1.0, 1.25]
    yield "four tokens", four, {"top_k": 4}, 1
    yield "four tokens, hot", four, {"temperature": 2.5, "top_k": 4}, 2
    yield "four tokens, cold", four, {"temperature": 0.6, "top_k": 4}, 3
    yield "top_k 2", four, {"top_k": 2}, 4
    yield "top_k 1", four, {"top_k": 1}, 5
    yield "top_p 0.8", four, {"top_p": 0.8}, 6
    yield "top_p of one token", four, {"top_p": 0.1}, 7
    yield "top_k 3 and top_p 0.7", four, {"top_k": 3, "top_p": 0.7}, 8
    yield "equals", [1.0, 3.0, 3.0, 1.0, 3.0], {"top_k": 4}, 9
    yield "the largest seed that JSON keeps", four, {}, 2**53 - 1
    yield "a seed below 0", four, {}, -1
    yield "min_p 0.3", four, {"min_p": 0.3}, 21
    yield "typical_p 0.6", four, {"typical_p": 0.6}, 22
    hundred = made_up_logits(100, 12.0, 1)
    yield "default top_k", hundred, {}, 10
    yield "usual settings", hundred, {"temperature": 0.8, "top_k": 40, "top_p": 0.95}, 11
    yield "hot, with min_p", hundred, {"temperature": 3.0, "top_k": 0, "min_p": 0.1}, 23
    yield "typical of all", hundred, {"top_k": 0, "typical_p": 0.9}, 24
    all_four = {"temperature": 1.5, "top_k": 60, "top_p": 0.97, "min_p": 0.02, "typical_p": 0.8}
    yield "everything at once", hundred, all_four, 25
    vocabulary = made_up_logits(1500, 4.0, 2)
    yield "whole vocabulary", vocabulary, {"top_k": 0}, 12
    whole_top_p = {"temperature": 1.3, "top_k": 1500, "top_p": 0.9}
    yield "whole vocabulary, top_p 0.9", vocabulary, whole_top_p, 13
    yield "one short of the vocabulary", vocabulary, {"top_k": 1499}, 16
    yield "whole vocabulary, min_p 0.5", vocabulary, {"top_k": 0, "min_p": 0.5}, 26


def distribution(name: str, settings: dict[str, float], expected: list[int]) -> dict[str, Any]:
    """One worked out by hand; the rules written out above have to agree."""
    ids, weights = shares([math.log(weight) for weight in WEIGHTS], settings)
    for token_id, share in enumerate(expected):
        found = weights[ids.index(token_id)] / math.fsum(weights) if token_id in ids else 0
        assert abs(found - share / sum(expected)) < 1e-9, name
    return {"name": name, "settings": settings, "shares": expected}


def main() -> None:
    about = (
        "Choosing a token. Settings that are not given have their defaults (settings.json). "
        "distributions: logits are the natural logarithms of weights, in float32; the probability "
        "of each token is its share of the sum of shares. outputs: the first of SplitMix64 for a "
        "seed, in hexadecimal. uniforms: draw number n (from 0) of a seed, in [0, 1). draws: the "
        "tokens that draws 0, 1, 2, … of a seed take from the same logits."
    )
    seeds = [0, 1, 1234567, -1, 2**53 - 1]
    sections = {
        "distributions": [distribution(*one) for one in DISTRIBUTIONS],
        "outputs": [
            {"seed": seed, "hex": [f"{next(random):016x}" for _ in range(3)]}
            for seed in seeds
            for random in [splitmix64(seed)]
        ],
        "uniforms": [
            {"seed": seed, "number": number, "uniform": uniform(seed, number)}
            for seed in seeds
            for number in (0, 1, 2, 1000)
        ],
        "draws": [
            {"name": name, "settings": settings, "seed": seed}
            | {"tokens": [token(logits, settings, uniform(seed, n)) for n in range(DRAWS)]}
            | {"logits": logits}
            for name, logits, settings, seed in cases()
        ],
    }
    parts = [f' "about": {json.dumps(about, ensure_ascii=False)}', f' "weights": {WEIGHTS}']
    for name, items in sections.items():
        lines = ",\n".join(f"  {json.dumps(item)}" for item in items)
        parts.append(f' "{name}": [\n{lines}\n ]')
    FILE.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
