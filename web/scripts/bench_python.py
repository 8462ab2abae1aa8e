"""The workload of workload.ts in Python's runtime: PACKAGE THREADS, prints JSON."""

import json
import statistics
import sys

from gpt2_edge import GenerationConfig, Generator

PROMPT_TOKENS, NEW_TOKENS, RUNS = 128, 64, 3

generator = Generator.load(sys.argv[1], provider="cpu", threads=int(sys.argv[2]))
vocab = generator.manifest.architecture.vocab_size
prompt = [7 * at % vocab for at in range(PROMPT_TOKENS)]
config = GenerationConfig(max_new_tokens=NEW_TOKENS, ignore_eos=True)
results = [generator.generate(prompt, config) for _ in range(RUNS + 1)][1:]
speed = {
    "prefill": statistics.median(result.prompt_tokens_per_second for result in results),
    "decode": statistics.median(result.decode_tokens_per_second for result in results),
}
sys.stdout.write(json.dumps(speed))
