"""The measurements that docs/ARCHITECTURE.md quotes for its decisions.

    python benchmarks/decisions.py             about three minutes; writes 2 GB to .bench

Prints how far decoding is from a prefill of the same text, what feeding tokens in pairs would cost,
how fast 4-bit blocks of several sizes decode, what memory-mapped weights save on loading, what huge
pages save in a step, and what a residual sum and its LayerNormalization take in one operator and in
two.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from random_checkpoint import write_random_checkpoint
from run import ROOT, gpt2_edge

from gpt2_edge import Generator
from gpt2_edge.graph.cache import shared_buffers
from gpt2_edge.graph.huge_pages import collapse, large_regions
from gpt2_edge_export.export import ExportOptions, export_package
from gpt2_edge_export.graph import onnx_builder
from gpt2_edge_export.texts import REPORT_TEXT

SAMPLE = ROOT / "models" / "sample"
DECODED = range(200, 264)  # positions of the text at which decoding is compared
PAIR_CONTEXTS = (128, 900)
NORM_TOKENS, NORM_WIDTH = (1, 512), 768
STEPS = 60
ROUNDS = 9


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".bench")
    work = parser.parse_args().work
    checkpoint = work / "random-124M"
    if not (checkpoint / "model.safetensors").is_file():
        write_random_checkpoint("124M", checkpoint)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        packages = Path(folder)
        for recipe in ("fp32", "int8", "int4"):
            decode_against_prefill(export(SAMPLE, packages / f"sample-{recipe}", recipe))
        for recipe in ("int8", "int4"):
            package = export(checkpoint, packages / recipe, recipe)
            pairs(package)
            pages(package)
        block_sizes(checkpoint, packages)
        loading(checkpoint, packages)
    for tokens in NORM_TOKENS:
        norms(tokens)


def export(checkpoint: Path, package: Path, recipe: str, block_size: int | None = None) -> Path:
    """Export without a tokenizer unless the checkpoint has one."""
    tokenizer = None if checkpoint == SAMPLE else False
    options = ExportOptions(
        recipe=recipe,
        block_size=block_size,
        tokenizer=tokenizer,
        calibration=False,
        report=False,
    )
    return export_package(checkpoint, package, options).package.folder


def decode_against_prefill(package: Path) -> None:
    """Largest logit difference between a step of one token and a prefill up to it."""
    generator = Generator.load(package)
    assert generator.tokenizer is not None
    ids = generator.tokenizer.encode(REPORT_TEXT.read_text(encoding="utf-8"))
    sequence = generator.session.start(DECODED.stop)
    sequence.prefill(ids[: DECODED.start])
    differences, spread = [], 0.0
    for position in DECODED:
        decoded = np.array(sequence.feed([ids[position]])[-1])
        prefilled = generator.session.start(DECODED.stop).prefill(ids[: position + 1])
        assert prefilled is not None
        differences.append(float(np.abs(decoded - prefilled).max()))
        spread = float(prefilled.std())
    print(
        f"{package.name}: decoding against prefill, median {statistics.median(differences):.2g}, "
        f"largest {max(differences):.2g} (standard deviation of the logits {spread:.1f})",
        flush=True,
    )


def pairs(package: Path) -> None:
    """Time of a step of two tokens, relative to one."""
    generator = Generator.load(package)
    ids = np.random.default_rng(0).integers(0, 50257, max(PAIR_CONTEXTS)).tolist()
    for context in PAIR_CONTEXTS:
        sequence = generator.session.start(context + 2)
        sequence.prefill(ids[:context])
        times: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(STEPS):
            for tokens, measured in times.items():
                started = time.perf_counter()
                sequence.feed(ids[:tokens])
                measured.append(time.perf_counter() - started)
                sequence.trim(context)
        ratio = statistics.median(times[2]) / statistics.median(times[1])
        print(f"{package.name}: two tokens a step at {context} take {ratio:.2f} of one", flush=True)


def pages(package: Path) -> None:
    """Processor time of one thread's step on pages of 4 KB and on huge ones, measured in turn.

    Weights and cache are on the same kind. Linux only.
    """
    ids = np.random.default_rng(0).integers(0, 50257, max(PAIR_CONTEXTS)).tolist()
    before = large_regions()
    with patch("gpt2_edge.graph.session.use_huge_pages"):
        generators = {"huge": Generator.load(package, threads=1)}
        for start, end in large_regions().items():
            if before.get(start) != end:
                collapse(start, end)
        generators["of 4 KB"] = Generator.load(package, threads=1)
    for context in PAIR_CONTEXTS:
        sequences = {}
        for kind, generator in generators.items():
            # Small arrays are below what NumPy asks huge pages for.
            arrays = shared_buffers if kind == "huge" else small_buffers
            with patch("gpt2_edge.graph.token_sequence.shared_buffers", arrays):
                sequences[kind] = generator.session.start(max(PAIR_CONTEXTS) + 1)
            sequences[kind].prefill(ids[:context])
        times: dict[str, list[float]] = {kind: [] for kind in sequences}
        for _ in range(ROUNDS):
            for kind, sequence in sequences.items():
                for _ in range(STEPS // 10):
                    started = time.thread_time()
                    sequence.feed(ids[:1])
                    times[kind].append(time.thread_time() - started)
                    sequence.trim(context)
        medians = {kind: 1e3 * statistics.median(measured) for kind, measured in times.items()}
        figures = ", ".join(f"{median:.1f} ms on pages {kind}" for kind, median in medians.items())
        print(f"{package.name}: a step of one thread at {context} takes {figures}", flush=True)


def small_buffers(*sizes: Any) -> list[npt.NDArray[Any]]:
    """The buffers of a cache, in an array each."""
    return [buffer.copy() for buffer in shared_buffers(*sizes)]


def block_sizes(checkpoint: Path, packages: Path) -> None:
    """Decoding speed of 4 bits everywhere in blocks of 32, 64 and 128, measured in turn."""
    sizes = {size: export(checkpoint, packages / f"block-{size}", "int4-small", size)
             for size in (32, 64, 128)}  # fmt: skip
    rates: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(ROUNDS):
        for size, package in sizes.items():
            figures = json.loads(gpt2_edge("bench", str(package), "--json"))
            rates[size].append(figures["decode"]["128"])
    for size, measured in rates.items():
        print(f"4 bits, blocks of {size}: {statistics.median(measured):.0f} tok/s", flush=True)


def loading(checkpoint: Path, packages: Path) -> None:
    """Time to load fp32 and int4 with the weights inside model.onnx, and beside it."""
    for recipe in ("fp32", "int4"):
        onnx_builder.EMBED_LIMIT, limit = 1 << 30, onnx_builder.EMBED_LIMIT
        inside = export(checkpoint, packages / f"{recipe}-inside", recipe)
        onnx_builder.EMBED_LIMIT = limit
        beside = export(checkpoint, packages / f"{recipe}-beside", recipe)
        times: dict[Path, list[float]] = {inside: [], beside: []}
        for _ in range(ROUNDS):
            for package, measured in times.items():
                told = json.loads(gpt2_edge("bench", str(package), "--no-cache", "--json"))
                measured.append(told["load_seconds"])
        for package, measured in times.items():
            seconds = statistics.median(measured)
            print(f"{package.name}: load {seconds:.2f} s", flush=True)


def norms(tokens: int) -> None:
    """Time of a residual sum and its norm, for `tokens` rows on one thread."""
    shape, weights = [1, tokens, NORM_WIDTH], ["scale", "shift"]
    addition = onnx.helper.make_node("Add", ["branch", "residual"], ["sum"])
    norm = onnx.helper.make_node("LayerNormalization", ["sum", *weights], ["normed"])
    fused = onnx.helper.make_node(
        "SkipLayerNormalization",
        ["branch", "residual", *weights],
        ["normed", "", "", "sum"],
        domain="com.microsoft",
    )
    times = {}
    for name, nodes in {"in one operator": [fused], "in two": [addition, norm]}.items():
        run = prepared(nodes, dict.fromkeys(("branch", "residual"), shape), weights)
        samples = []
        for _ in range(STEPS):
            started = time.perf_counter()
            for _ in range(ROUNDS):
                run()
            samples.append((time.perf_counter() - started) / ROUNDS)
        times[name] = f"{1e6 * statistics.median(samples):.1f} us {name}"
    print(f"sum and norm of {tokens} x {NORM_WIDTH}: {', '.join(times.values())}", flush=True)


def prepared(
    nodes: list[onnx.NodeProto], inputs: dict[str, list[int]], weights: list[str]
) -> Callable[[], None]:
    """A function that runs `nodes` on random inputs, on one thread."""
    kind = onnx.TensorProto.FLOAT
    random = np.random.default_rng(0)
    graph = onnx.helper.make_graph(
        nodes,
        "measured",
        [onnx.helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [onnx.helper.make_tensor_value_info(name, kind, None) for name in ("normed", "sum")],
        [onnx.numpy_helper.from_array(np.ones(NORM_WIDTH, np.float32), name) for name in weights],
    )
    imports = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    for name, shape in inputs.items():
        binding.bind_cpu_input(name, random.standard_normal(shape).astype(np.float32))
    for output in session.get_outputs():
        binding.bind_output(output.name)
    return lambda: session.run_with_iobinding(binding)


if __name__ == "__main__":
    main()
