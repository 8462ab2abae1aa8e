"""What one provider makes of one package, as JSON; tools/providers.py runs it."""

from __future__ import annotations

import json
import sys
import time

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.errors import GPT2EdgeError

_PREFILL = 64


def main() -> None:
    package, provider, prompt, tokens, repeats = sys.argv[1:]
    try:
        generator = Generator.load(package, provider=provider, verify=False).with_config()
    except GPT2EdgeError as error:
        print(json.dumps({"error": str(error)}))
        return
    config = GenerationConfig(max_new_tokens=int(tokens), ignore_eos=True)
    ids = _ids(generator, prompt)
    results = [generator.generate(ids, config) for _ in range(int(repeats))]
    rates = [results[0].prompt_tokens_per_second]
    if int(repeats) > 1:  # a GPU in software has no time for a longer prompt
        rates = [_prefill_rate(generator, ids) for _ in range(int(repeats))]
    record = {
        "ids": results[0].ids,
        "nodes": results[0].nodes,
        "prefill": max(rates),
        "decode": max(result.decode_tokens_per_second for result in results),
    }
    print(json.dumps(record))


def _ids(generator: Generator, prompt: str) -> list[int]:
    """`prompt` in the package's tokens, or some tokens where it has no tokenizer."""
    try:
        return generator.encode(prompt)
    except GPT2EdgeError:
        return list(range(1, 9))


def _prefill_rate(generator: Generator, prompt: list[int]) -> float:
    """Tokens a second of a prompt of _PREFILL tokens."""
    ids = (prompt * _PREFILL)[:_PREFILL]
    sequence = generator.session.start(_PREFILL)
    started = time.perf_counter()
    sequence.prefill(ids)
    return len(ids) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
