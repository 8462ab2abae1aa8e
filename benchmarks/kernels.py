"""What the kernels of a package take: of a token behind a context, and of a prompt.

    python benchmarks/kernels.py PACKAGE...
    python benchmarks/kernels.py PACKAGE --contexts 128 900 --prompts 512 --threads 2

ONNX Runtime's profile, on the CPU, random ids; a mean over the runs behind some to warm up.
Products with weights come by their shape and bits, with what they read of them (scales left out)
and what they compute, a multiplication and an addition being two operations. Profiling itself takes
time, more of it where kernels are short: what is between kernels is less without it.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from run import processor

from gpt2_edge.files.package import open_package
from gpt2_edge.files.package_folder import Package
from gpt2_edge.graph.session import FedSequence, Session
from gpt2_edge.graph.session_options import session_options

STEPS, WARM_UP_STEPS = 32, 8
PROMPTS, WARM_UP_PROMPTS = 4, 1
RUN, NODE = "model_run", "_kernel_time"  # an event's name, and how one of a node ends


@dataclass
class Kernel:
    """Nodes that do the same: how many, and what all of them take, read and compute in a run.

    weights: bytes of them, each time that they are read.
    """

    nodes: int = 0
    microseconds: float = 0.0
    weights: float = 0.0
    operations: float = 0.0


@dataclass(frozen=True)
class Profile:
    """A step, or a prompt in all its parts: the mean of some."""

    microseconds: float
    kernels: dict[str, Kernel]


def main() -> None:
    """Print a table for each package and kind of run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="+", type=Path, metavar="PACKAGE")
    parser.add_argument("--contexts", type=int, nargs="*", default=[128, 900])
    parser.add_argument("--prompts", type=int, nargs="*", default=[512])
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    threads = arguments.threads
    for folder in arguments.packages:
        package = open_package(folder)
        for context in arguments.contexts:
            print_table(f"{folder}, a token behind {context}", step(package, context, threads))
        for tokens in arguments.prompts:
            print_table(f"{folder}, a prompt of {tokens}", prompt(package, tokens, threads))
    print(f"\n{threads or 'default'} threads, {processor()}, ONNX Runtime {ort.__version__}")


def step(package: Package, context: int, threads: int | None) -> Profile:
    """A token behind `context` others."""

    def work(sequence: FedSequence, ids: Sequence[int]) -> None:
        sequence.prefill(ids[:context])
        for _ in range(WARM_UP_STEPS + STEPS):
            sequence.feed([ids[context]])
            sequence.trim(context)

    events = profiled(package, work, context + 1, threads)
    return means(package, events, STEPS, STEPS)


def prompt(package: Package, tokens: int, threads: int | None) -> Profile:
    """A prompt of `tokens` in an empty cache, whatever parts it goes in."""

    def work(sequence: FedSequence, ids: Sequence[int]) -> None:
        for _ in range(WARM_UP_PROMPTS + PROMPTS):
            sequence.trim(0)
            sequence.prefill(ids)

    events = profiled(package, work, tokens, threads)
    parts = sum(event["name"] == RUN for event in events) // (WARM_UP_PROMPTS + PROMPTS)
    return means(package, events, PROMPTS, PROMPTS * parts)


def profiled(
    package: Package,
    work: Callable[[FedSequence, Sequence[int]], None],
    room: int,
    threads: int | None,
) -> list[dict[str, Any]]:
    """The events of a profile of `work`, which is given `room` random ids."""
    session = Session(package, provider="cpu", threads=threads, prompt_weights=False)
    vocab = package.manifest.architecture.vocab_size
    ids = np.random.default_rng(0).integers(0, vocab, room).tolist()
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        graph = str(package.model_path)
        session.onnx = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        work(session.start(room), ids)
        events: list[dict[str, Any]] = json.loads(
            Path(session.onnx.end_profiling()).read_text("utf-8")
        )
    return events


def means(package: Package, events: Sequence[dict[str, Any]], times: int, runs: int) -> Profile:
    """What the last `runs` of the graph took, which are `times` times the same."""
    last = [event for event in events if event["name"] == RUN][-runs:]
    begin = last[0]["ts"]
    nodes = [event for event in events if event["name"].endswith(NODE) and event["ts"] >= begin]
    return Profile(
        sum(run["dur"] for run in last) / times, kernels_of(nodes, products(package), times)
    )


def kernels_of(
    events: Sequence[dict[str, Any]], shapes: dict[str, tuple[int, int, int]], times: int
) -> dict[str, Kernel]:
    """The nodes of a profile, of `times` times the same, by what they do."""
    found: dict[str, Kernel] = defaultdict(Kernel)
    seen: set[str] = set()
    for event in events:
        node, details = event["name"].removesuffix(NODE), event["args"]
        label, shape = details["op_name"], shapes.get(node)
        if shape is not None:
            label = f"{label} {shape[0]} x {shape[1]}, {shape[2]} bits"
        kernel = found[label]
        kernel.microseconds += event["dur"] / times
        kernel.nodes += node not in seen
        seen.add(node)
        if shape is not None:
            inputs, outputs, bits = shape
            (output,) = details["output_type_shape"][0].values()
            kernel.weights += inputs * outputs * bits / 8 / times
            kernel.operations += 2.0 * inputs * outputs * math.prod(output[:-1]) / times
    return dict(found)


def products(package: Package) -> dict[str, tuple[int, int, int]]:
    """Inputs, outputs and bits of every product with weights, by its node's name."""
    graph = onnx.load(package.model_path, load_external_data=False).graph
    matrices = {weight.name: weight for weight in graph.initializer if len(weight.dims) == 2}
    bits = {onnx.TensorProto.FLOAT: 32, onnx.TensorProto.FLOAT16: 16}
    found = {}
    for node in graph.node:
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        if node.op_type == "MatMulNBits":
            found[node.name] = attributes["K"], attributes["N"], attributes["bits"]
        elif "MatMul" in node.op_type or node.op_type == "Gemm":
            for name in node.input:
                if name in matrices:
                    rows, columns = matrices[name].dims
                    size = bits.get(matrices[name].data_type, 8)
                    found[node.name] = rows, columns, size
    return found


def print_table(title: str, profile: Profile) -> None:
    """Kernels of 1% and more, the others in one row."""
    total = profile.microseconds
    print(f"\n{title}: {total / 1000:.2f} ms\n")
    print("| kernel | nodes | ms | share | weights GB/s | Gop/s |")
    print("| --- | --- | --- | --- | --- | --- |")
    small, rest = Kernel(), total
    for label, kernel in sorted(profile.kernels.items(), key=lambda one: -one[1].microseconds):
        rest -= kernel.microseconds
        if kernel.microseconds < total / 100:
            small.nodes += kernel.nodes
            small.microseconds += kernel.microseconds
        else:
            print(row(label, kernel, profile))
    print(row("others", small, profile))
    print(row("between kernels", Kernel(microseconds=rest), profile))


def row(label: str, kernel: Kernel, profile: Profile) -> str:
    """A row of the table."""
    rates = ["", ""]
    if kernel.operations:
        seconds = 1e3 * kernel.microseconds  # of 1e9 a second
        rates = [f"{kernel.weights / seconds:.1f}", f"{kernel.operations / seconds:.0f}"]
    share = kernel.microseconds / profile.microseconds
    cells = [label, str(kernel.nodes or ""), f"{kernel.microseconds / 1000:.3f}", f"{share:.0%}"]
    return f"| {' | '.join([*cells, *rates])} |"


if __name__ == "__main__":
    main()
