"""Stream in ten lines: python examples/stream.py PACKAGE PROMPT"""

import sys

from gpt2_edge import Generator

package, prompt = sys.argv[1:]
generator = Generator.load(package)
print(prompt, end="", flush=True)
with generator.stream(prompt, max_new_tokens=60, temperature=0.8, seed=7) as stream:
    for piece in stream:  # whole characters, as they become certain
        print(piece, end="", flush=True)
print()
print(stream.result.finish_reason, len(stream.ids), "tokens", file=sys.stderr)
