"""Continue the prompts of a file, many together, and go on where an earlier run was broken off:

    python examples/batch_file.py PACKAGE prompts.jsonl texts.jsonl

A line of the input is {"prompt": "It was late"}; the output has a line for each, in their order,
{"prompt": ..., "text": ..., "finish_reason": ...}. Run the same command again after a crash, a
Ctrl-C or a power cut: what is complete is kept, and the file becomes what it would have been.
`gpt2-edge generate --jsonl` has settings for each line, without going on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gpt2_edge import GenerationConfig, Generator, GPT2EdgeError

TOGETHER = 16  # prompts that take their steps together


def read_prompts(file: Path) -> list[str]:
    """The prompts of all lines; ValueError for the first line that has none."""
    prompts = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        prompt = value.get("prompt") if isinstance(value, dict) else None
        if not isinstance(prompt, str) or not prompt:
            raise ValueError(f'{file}, line {number}: expected {{"prompt": "..."}}')
        prompts.append(prompt)
    return prompts


def head(prompt: str) -> bytes:
    """What the output's line for `prompt` begins with."""
    return json.dumps({"prompt": prompt}).encode()[:-1]


def kept(file: Path, prompts: list[str]) -> int:
    """Cut `file` back to its last complete batch; how many lines it keeps.

    Whole batches, because in int4 a text may differ by what is computed beside it: so what comes
    out does not depend on where a run was broken off. ValueError, and nothing is cut, for a file
    that is not of these prompts.
    """
    if not file.exists():
        return 0
    *lines, rest = file.read_bytes().split(b"\n")
    for number, line in enumerate([*lines, rest] if rest else lines):
        begun = head(prompts[number]) if number < len(prompts) else b"no line is here"
        torn = number == len(lines) and begun.startswith(line)
        if not (torn or line.startswith(begun)):
            where = f"{file}, line {number + 1}"
            raise ValueError(f"{where} is not of these prompts; name another file")
    count = len(prompts) if len(lines) == len(prompts) else len(lines) // TOGETHER * TOGETHER
    with file.open("r+b") as output:
        output.truncate(sum(len(line) + 1 for line in lines[:count]))
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description="Continue the prompts of a JSON Lines file.")
    parser.add_argument("package")
    parser.add_argument("prompts", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    prompts = read_prompts(arguments.prompts)
    generator = Generator.load(arguments.package)
    for prompt in prompts:  # all are looked at before anything is computed or cut
        generator.encode(prompt)
    start = kept(arguments.output, prompts)
    with arguments.output.open("ab") as output:
        for begin in range(start, len(prompts), TOGETHER):
            batch = prompts[begin : begin + TOGETHER]
            # A seed for each line, so that a line's text does not depend on the run.
            configs = [
                GenerationConfig(max_new_tokens=40, temperature=0.8, seed=arguments.seed + number)
                for number in range(begin, begin + len(batch))
            ]
            for prompt, result in zip(batch, generator.generate_batch(batch, configs), strict=True):
                rest = {"text": result.text, "finish_reason": result.finish_reason}
                output.write(head(prompt) + b", " + json.dumps(rest).encode()[1:] + b"\n")
            output.flush()
            print(f"{begin + len(batch)} of {len(prompts)}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except (GPT2EdgeError, ValueError, OSError) as error:
        sys.exit(str(error))
