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
        generator = Generator.load(package, provider=provider, verify=False)
    except GPT2EdgeError as error:
        print(json.dumps({"error": str(error)}))
        return
    config = GenerationConfig(max_new_tokens=int(tokens), ignore_eos=True)
    results = [generator.generate(prompt, config) for _ in range(int(repeats))]
    # A GPU in software, which gets one run, has no time for a long prompt.
    length = _PREFILL if int(repeats) > 1 else 8
    ids = generator.encode(prompt * 16)[:length]
    seconds = []
    for _ in range(int(repeats)):
        sequence = generator.session.start(_PREFILL)
        started = time.perf_counter()
        sequence.prefill(ids)
        seconds.append(time.perf_counter() - started)
    record = {
        "ids": results[0].ids,
        "nodes": generator.session.nodes,
        "prefill": len(ids) / min(seconds),
        "decode": max(result.decode_tokens_per_second for result in results),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
