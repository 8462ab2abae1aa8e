"""What the decoder gives and costs: batches, Python's share of a step, drafts, chats.

    python benchmarks/decoder.py                          124M in int4, without a calibration
    python benchmarks/decoder.py --genai .venv-genai/bin/python     with onnxruntime-genai beside it

All measurements take turns round by round in one process (onnxruntime-genai in its own), and the
table shows medians over the rounds.
"""

from __future__ import annotations

import argparse
import operator
import os
import platform
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from random_checkpoint import SHAPES, write_random_checkpoint
from run import ROOT, gpt2_edge, processor

from gpt2_edge import Generator
from gpt2_edge_export.texts import REPORT_TEXT

BATCHES = (2, 4, 8, 16)
PROMPT, NEW = 32, 128  # tokens
TURNS, SAID, ANSWERED = 16, 12, 24
TEXTS = 25
STORIES = ("It was", "What do you", "The old man", "In the morning")
# As in summaries, translations of code and answers by a form: the text has what is to come.
REPETITIVE = (
    "The name of the man is John. The name of the boy is Tom. The name of the girl is Mary. "
    "The name of the man is",
    "one two three four five six seven. one two three four five six seven. one two three",
    "He said that he would go. She said that she would go. He said that",
)


def main() -> None:
    """Export what is missing, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="124M")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=ROOT / ".bench")
    parser.add_argument("--genai", type=Path, help="a Python that has onnxruntime-genai")
    arguments = parser.parse_args()

    large = exported(arguments.work, arguments.shape, "int4")
    small = exported(arguments.work, "sample", "int4")
    rates: dict[str, list[float]] = defaultdict(list)
    model, sample = Generator.load(large), Generator.load(small)
    for number in range(arguments.rounds):
        print(f"measuring, round {number + 1} of {arguments.rounds}", flush=True)
        for name, measure in measurements(model, sample).items():
            rates[name].append(measure())
        if arguments.genai is not None:
            for rows in (1, 8):
                command = [arguments.genai, ROOT / "benchmarks/genai_batch.py", large]
                output = subprocess.check_output([*command, *map(str, (rows, PROMPT, NEW))])
                rates[f"onnxruntime-genai, {rows}"].append(float(output))
    print_table(arguments.shape, {name: statistics.median(each) for name, each in rates.items()})
    for recipe in ("fp32", "int8", "int4"):
        drafted, together = same_texts(Generator.load(exported(arguments.work, "sample", recipe)))
        print(
            f"Of {TEXTS} greedy texts of {NEW} tokens (models/sample, {recipe}) {drafted} are the "
            f"same with drafts, {together} in batches of 5."
        )
    read, said = chat(model)
    print(
        f"\nA chat of {TURNS} turns with a cache reads {read:,} tokens; its turns have {said:,}.\n"
        f"ONNX Runtime {onnxruntime.__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, {processor()}."
    )


def exported(work: Path, name: str, recipe: str) -> Path:
    """A package of a shape with random weights, or of models/sample."""
    package = work / f"decoder-{name}-{recipe}"
    if (package / "manifest.json").is_file():
        return package
    print(f"exporting {name} {recipe}", flush=True)
    source, options = ROOT / "models" / "sample", ["--recipe", recipe, "--force"]
    options += ["--no-calibration", "--no-report"]
    if name in SHAPES:
        source = work / f"random-{name}"
        options.append("--no-tokenizer")
        if not (source / "model.safetensors").is_file():
            write_random_checkpoint(name, source)
    gpt2_edge("export", str(source), "-o", str(package), *options)
    return package


def measurements(model: Generator, sample: Generator) -> dict[str, Callable[[], float]]:
    """Name -> what measures it once: tokens per second, or a share of 1."""
    prompts = [list(range(10 + row, 10 + row + PROMPT)) for row in range(max(BATCHES))]
    plain: dict[str, Any] = {"max_new_tokens": NEW, "ignore_eos": True, "do_sample": False}
    drafts = plain | {"prompt_lookup_num_tokens": 10}
    sampled = {"max_new_tokens": NEW, "ignore_eos": True, "temperature": 1.0, "seed": 7}
    found: dict[str, Callable[[], float]] = {
        "bare loop": lambda: bare_loop(model, prompts[0]),
        "one text": lambda: batch(model, prompts[:1], plain),
    }
    for rows in BATCHES:
        found[f"batch of {rows}"] = lambda rows=rows: batch(model, prompts[:rows], plain)  # type: ignore[misc]
    found["outside the graph"] = lambda: outside_the_graph(model, prompts[0])
    for name, texts, settings, drafted in (
        ("greedy", STORIES, plain, drafts),
        ("repetitive", REPETITIVE, plain, drafts),
        ("sampled", STORIES, sampled, sampled | {"prompt_lookup_num_tokens": 10}),
    ):
        found[f"{name}, plain"] = lambda t=texts, s=settings: one_by_one(sample, t, s)  # type: ignore[misc]
        found[f"{name}, drafts"] = lambda t=texts, s=drafted: one_by_one(sample, t, s)  # type: ignore[misc]
    return found


def bare_loop(model: Generator, prompt: Sequence[int]) -> float:
    """Tokens a second of the least loop there is: a step of the graph, then argmax."""
    sequence = model.session.start(PROMPT + NEW)
    logits = sequence.prefill(prompt)
    assert logits is not None
    token = int(np.argmax(logits))
    started = time.perf_counter()
    for _ in range(NEW - 1):
        token = int(np.argmax(sequence.feed([token])[-1]))
    return (NEW - 1) / (time.perf_counter() - started)


def batch(model: Generator, prompts: Sequence[Sequence[int]], settings: dict[str, Any]) -> float:
    """Tokens a second over all texts, from the last prompt's first token on."""
    with model.stream_batch(prompts, **settings) as stream:
        begun: set[int] = set()
        for number, _ in stream:
            begun.add(number)
            if len(begun) == len(prompts):
                break
        started, before = time.perf_counter(), 0
        for _ in stream:
            before += 1
        return before / (time.perf_counter() - started)


def one_by_one(model: Generator, texts: Sequence[str], settings: dict[str, Any]) -> float:
    """Decoded tokens per second over texts that are written one after another."""
    results = [model.generate(text, **settings) for text in texts]
    tokens = sum(len(result.ids) - 1 for result in results)
    return tokens / sum(result.decode_seconds for result in results)


class Timed:
    """ONNX Runtime's session, with the time that its runs take."""

    def __init__(self, onnx: Any) -> None:
        self._onnx, self.seconds = onnx, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._onnx, name)

    def run_with_iobinding(self, binding: Any) -> None:
        """Run the graph."""
        started = time.perf_counter()
        self._onnx.run_with_iobinding(binding)
        self.seconds += time.perf_counter() - started


def outside_the_graph(model: Generator, prompt: Sequence[int]) -> float:
    """The share of a text's time that is not spent in ONNX Runtime's run of the graph."""
    onnx = model.session.onnx
    timed = Timed(onnx)
    model.session.onnx = timed  # type: ignore[assignment]
    try:
        with model.events(prompt, max_new_tokens=NEW, ignore_eos=True, do_sample=False) as events:
            next(events)
            timed.seconds, started = 0.0, time.perf_counter()
            for _ in events:
                pass
            return 1 - timed.seconds / (time.perf_counter() - started)
    finally:
        model.session.onnx = onnx


def chat(model: Generator) -> tuple[int, int]:
    """Tokens that the prompts of a chat made the model read, and tokens that were said in it."""
    cache, history, read = model.new_cache(), [], 0
    for turn in range(TURNS):
        history += [(turn * 31 + i) % model.vocab_size for i in range(SAID)]
        result = model.generate(
            history, cache=cache, max_new_tokens=ANSWERED, ignore_eos=True, do_sample=False
        )
        read += result.prompt_tokens - result.cached_tokens
        history += result.ids
    return read, TURNS * (SAID + ANSWERED)


def same_texts(model: Generator) -> tuple[int, int]:
    """How many of TEXTS greedy texts do not change with drafts, and in batches."""
    words = REPORT_TEXT.read_text("utf-8").split()
    prompts = [" ".join(words[start : start + 5]) for start in range(0, 40 * TEXTS, 40)]
    settings: dict[str, Any] = {"max_new_tokens": NEW, "ignore_eos": True, "do_sample": False}
    alone = [model.generate(prompt, **settings).ids for prompt in prompts]
    drafted = [
        model.generate(prompt, prompt_lookup_num_tokens=10, **settings).ids for prompt in prompts
    ]
    together = [
        result.ids
        for start in range(0, TEXTS, 5)
        for result in model.generate_batch(prompts[start : start + 5], **settings)
    ]
    return sum(map(operator.eq, alone, drafted)), sum(map(operator.eq, alone, together))


def print_table(shape: str, medians: dict[str, float]) -> None:
    """A Markdown table of medians, each beside what it is held against."""
    against = {"bare loop": "", "one text": "bare loop", "outside the graph": ""}
    against |= {f"batch of {rows}": "one text" for rows in BATCHES}
    against |= {"onnxruntime-genai, 1": "one text", "onnxruntime-genai, 8": "batch of 8"}
    print(f"\n| {shape} int4, {PROMPT} + {NEW} tokens | tokens/s | relative |\n| --- | --- | --- |")
    for name, value in medians.items():
        if name == "outside the graph":
            print(f"| {name} | | {100 * value:.1f}% of a step |")
        elif name.endswith(", plain"):
            print(f"| models/sample, {name} | {value:.0f} | |")
        else:
            other = against.get(name, name.replace(", drafts", ", plain"))
            ratio = f"{value / medians[other]:.2f} x {other}" if other else ""
            label = f"models/sample, {name}" if name.endswith(", drafts") else name
            print(f"| {label} | {value:.0f} | {ratio} |")


if __name__ == "__main__":
    main()
