"""Write sampling.json: draws that a runtime in any language must reproduce.

python tests/vectors/make_sampling_vectors.py

The sampler is written out once more here, plainly and without NumPy, so that the vectors do not
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
_MASK = (1 << 64) - 1


def splitmix64(seed: int) -> Iterator[int]:
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        yield z ^ (z >> 31)


def draws(
    logits: list[float], temperature: float, top_k: int, top_p: float, seed: int
) -> list[int]:
    """DRAWS token ids, each drawn from the same `logits`."""
    ids = sorted(range(len(logits)), key=lambda i: (-logits[i], i))[:top_k]
    weights = [math.exp((logits[i] - logits[ids[0]]) / temperature) for i in ids]
    cumulative = list(accumulate(weight / math.fsum(weights) for weight in weights))
    if top_p < 1:
        kept = next(n for n, reached in enumerate(cumulative, 1) if reached >= top_p - 1e-12)
        assert abs(cumulative[kept - 1] - top_p) > CLEAR
        assert kept == 1 or abs(cumulative[kept - 2] - top_p) > CLEAR
        ids, cumulative = ids[:kept], cumulative[:kept]
    tokens = []
    random = splitmix64(seed)
    for _ in range(DRAWS):
        point = (next(random) >> 11) / (1 << 53) * cumulative[-1]
        assert min(abs(point - border) for border in cumulative) > CLEAR
        tokens.append(ids[next(n for n, border in enumerate(cumulative) if point < border)])
    return tokens


def made_up_logits(count: int, spread: float, seed: int) -> list[float]:
    """Multiples of 1/16, exact in float32 and in JSON; the larger lists hold many equals."""
    random = splitmix64(seed)
    uniform = ((next(random) >> 11) / (1 << 53) for _ in range(count))
    return [round(16 * spread * (value - 0.5)) / 16 for value in uniform]


def case(
    name: str, logits: list[float], temperature: float, top_k: int, top_p: float, seed: int
) -> dict[str, Any]:
    return {
        "name": name,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
        "tokens": draws(logits, temperature, top_k, top_p, seed),
        "logits": logits,
    }


def cases() -> Iterator[dict[str, Any]]:
    four = [0.5, 2.0, -1.0, 1.25]
    yield case("four tokens", four, 1.0, 4, 1.0, 1)
    yield case("four tokens, hot", four, 2.5, 4, 1.0, 2)
    yield case("four tokens, cold", four, 0.6, 4, 1.0, 3)
    yield case("top_k 2", four, 1.0, 2, 1.0, 4)
    yield case("top_k 1", four, 1.0, 1, 1.0, 5)
    yield case("top_p 0.8", four, 1.0, 4, 0.8, 6)
    yield case("top_p of one token", four, 1.0, 4, 0.1, 7)
    yield case("top_k 3 and top_p 0.7", four, 1.0, 3, 0.7, 8)
    yield case("equals", [1.0, 3.0, 3.0, 1.0, 3.0], 1.0, 4, 1.0, 9)
    yield case("the largest seed that JSON keeps", four, 1.0, 4, 1.0, 2**53 - 1)
    hundred = made_up_logits(100, 12.0, 1)
    yield case("default top_k", hundred, 1.0, 50, 1.0, 10)
    yield case("usual settings", hundred, 0.8, 40, 0.95, 11)
    vocabulary = made_up_logits(1500, 4.0, 2)
    yield case("whole vocabulary", vocabulary, 1.0, 1500, 1.0, 12)
    yield case("whole vocabulary, top_p 0.9", vocabulary, 1.3, 1500, 0.9, 13)
    yield case("one short of the vocabulary", vocabulary, 1.0, 1499, 1.0, 16)


def main() -> None:
    lines = ",\n".join(json.dumps(one) for one in cases())
    FILE.write_text(f'{{"cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
