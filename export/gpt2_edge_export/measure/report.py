"""What quantization cost: the figures that every export ends with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2_edge import Generator
from gpt2_edge.errors import ExportError
from gpt2_edge.untrusted import printable
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.measure.quality import Quality, compare, perplexity
from gpt2_edge_export.measure.reference import FloatModel
from gpt2_edge_export.progress import progress_bar
from gpt2_edge_export.quantize import Recipe, input_width
from gpt2_edge_export.quantize.weights import TensorSource
from gpt2_edge_export.texts import Text

# A text is measured up to here: the standard error of mean KL is then some 2% of it.
REPORT_TOKENS = 20_480


@dataclass(frozen=True)
class GroupSize:
    """Matrices of one kind: bits of a weight, scales included, and bytes in the file."""

    bits: float
    bytes: int


def measure(package: Path, text: Text, reference: TensorSource | None) -> dict[str, Any]:
    """Quality of the package in the folder `package` on `text`, as manifest.json states it.

    reference: the float32 weights of the same model; None: the package itself is in fp32, and only
    its perplexity is measured.
    """
    ids = text.ids[:REPORT_TOKENS]
    source = {"text": text.name, "text_sha256": text.sha256, "tokens": len(ids)}
    with progress_bar(len(ids), "measuring quality") as bar:
        candidate = Generator.load(package, verify=False)
        if reference is None:
            own = perplexity(candidate, ids, bar.update)
            _check_finite({"perplexity": own}, text)
            return source | {"perplexity": round(own, 4)}
        quality = compare(FloatModel(reference), candidate, ids, bar.update)
    _check_finite(dataclasses.asdict(quality), text)
    return source | _rounded(quality)


def group_sizes(recipe: Recipe, config: GPT2Config) -> dict[str, GroupSize]:
    """Where the bits go: for the tables and each kind of matrix."""
    groups: dict[str, list[str]] = {}
    for name, shape in config.tensor_shapes().items():
        if len(shape) == 2 and name != "wpe.weight":
            table = not name.startswith("h.")
            group = "embedding_and_head" if table else name.split(".", 2)[2]
            groups.setdefault(group.removesuffix(".weight"), []).append(name)
    sizes = {}
    for group, names in groups.items():
        weights = size = 0
        for name in names:
            n_out, n_in = matrix_shape(name, config)
            weights += n_in * n_out
            size += recipe.format(name, n_in).bytes(n_out, n_in)
        sizes[group] = GroupSize(round(8 * size / weights, 3), size)
    return sizes


def matrix_shape(name: str, config: GPT2Config) -> tuple[int, int]:
    """Outputs and inputs of the matrix `name` in the graph."""
    n_in = input_width(name, config)
    shape = config.tensor_shapes()[name]
    if not name.startswith("h."):
        return shape[0], n_in
    packed = name.endswith("attn.c_attn.weight")
    return (3 * input_width("attn.c_proj", config) if packed else shape[1]), n_in


def quality_lines(quality: dict[str, Any]) -> Iterator[str]:
    """The report for people."""
    yield f"on {quality['tokens']:,} tokens of {printable(quality['text'])}:"
    if "mean_kl" in quality:
        yield (
            f"  perplexity {quality['perplexity']:.2f} (fp32: "
            f"{quality['reference_perplexity']:.2f}); {100 * quality['top1']:.1f}% of the time it "
            "would choose the same token as the original"
        )
        yield (
            f"  KL divergence from fp32 {quality['mean_kl']:.5f} nats per token, 99% of the tokens "
            f"under {quality['p99_kl']:.4f}"
        )
    else:
        yield f"  perplexity {quality['perplexity']:.2f}"
    for group, size in quality["groups"].items():
        yield f"  {group:<20}{size['bits']:6.2f} bits per weight {size['bytes'] / 1e6:9.2f} MB"


def _check_finite(figures: dict[str, float], text: Text) -> None:
    wrong = next((key for key, value in figures.items() if not math.isfinite(value)), None)
    if wrong is not None:
        raise ExportError(
            f"the {wrong} on {text.name} is {figures[wrong]}: the logits are too large, or no "
            "numbers; the weights are damaged, or export them as fp32"
        )


def _rounded(quality: Quality) -> dict[str, Any]:
    """Figures with as many digits as mean something."""
    return {
        key: float(f"{value:.6g}") if isinstance(value, float) else value
        for key, value in dataclasses.asdict(quality).items()
        if key != "tokens"
    }
