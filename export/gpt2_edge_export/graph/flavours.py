"""The graphs a package can have, and the formats that each takes (docs/PROVIDERS.md)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gpt2_edge._version import __version__
from gpt2_edge.errors import ExportError
from gpt2_edge.files.manifest import Graph, StaticGraph
from gpt2_edge.untrusted import shown
from gpt2_edge_export.graph.fused_graph import NAMES, build_fused_graph
from gpt2_edge_export.graph.onnx_builder import MODEL_FILE, OnnxBuilder
from gpt2_edge_export.graph.plan import GraphPlan
from gpt2_edge_export.graph.standard_graph import (
    PORTABLE_NAMES,
    STATIC_NAMES,
    StandardGraph,
    StaticShape,
)
from gpt2_edge_export.graph.standard_linear import StandardLinear
from gpt2_edge_export.graph.versions import min_onnxruntime
from gpt2_edge_export.quantize import MatrixFormat, Range, Recipe, Weights, make_recipe

FLAVOURS = ("fused", "portable", "static")
CHUNK_FILE = "model.prefill.onnx"
# Tokens of a static prefill chunk: NPUs like 16 to 128; a prompt's last chunk is padded to it.
CHUNK = 32
_STANDARD_MIN_ONNXRUNTIME = "1.23"
_BY_ROW = MatrixFormat(8)


@dataclass(frozen=True)
class Target:
    """A named choice of flavour, recipe and cache."""

    flavour: str
    recipe: str
    cache_dtype: str = "float32"
    compute_dtype: str = "float32"


TARGETS = {
    "cpu": Target("fused", "int4"),
    "cuda": Target(
        "fused", "int4", "float16", "float16"
    ),  # CUDA's GroupQueryAttention takes halves only
    "web": Target("portable", "int4"),
    "mobile": Target("fused", "int4"),
    "npu": Target("static", "int8"),
}


def flavour_recipe(flavour: str, name: str, block_size: int | None = None) -> Recipe:
    """The recipe `name` as `flavour` has it; ExportError where it does not.

    Standard operators read one table in 8 bits by row where `fused` has blocks, and static graphs
    round activations with fixed scales, so their 8 bits are all by row.
    """
    if flavour not in FLAVOURS:
        raise ExportError(f"graph variant {shown(flavour)} is not one of {', '.join(FLAVOURS)}")
    recipe = make_recipe(name, block_size)
    if flavour == "fused" or not recipe.quantized:
        return recipe
    if name in ("int8", "int8-row"):
        if block_size is not None:
            raise ExportError(f"--flavour {flavour} has int8 per channel; leave out --block-size")
        return Recipe("int8", _BY_ROW, _BY_ROW)
    if flavour == "portable" and name == "int4":
        return dataclasses.replace(recipe, table=_BY_ROW)
    known = {"portable": "fp32, fp16, int8 or int4", "static": "fp32, fp16 or int8"}[flavour]
    raise ExportError(f"--flavour {flavour} takes --recipe {known}, not {name}")


def write_graph(
    plan: GraphPlan,
    weights: Weights,
    folder: Path,
    ranges: Mapping[str, Range] | None = None,
) -> Graph:
    """Write the graph of `weights` into `folder` as planned.

    ranges: of activations, for a quantized static graph.
    """
    recipe, flavour, cache_dtype = plan.recipe, plan.flavour, plan.cache_dtype
    with closing(OnnxBuilder(folder)) as builder:
        if flavour == "fused":
            build_fused_graph(builder, weights, plan)
            builder.save("gpt2", __version__)
            return Graph(
                file=MODEL_FILE,
                cache="shared",
                min_onnxruntime=min_onnxruntime(weights.config, cache_dtype),
                names=NAMES,
                flavour=flavour,
                cache_dtype=cache_dtype,
            )
        if flavour == "portable":
            StandardGraph(builder, weights, StandardLinear(builder, weights, recipe)).build()
            builder.save("gpt2", __version__)
            return Graph(
                file=MODEL_FILE,
                cache="concat",
                min_onnxruntime=_STANDARD_MIN_ONNXRUNTIME,
                names=PORTABLE_NAMES,
                flavour=flavour,
                cache_dtype=cache_dtype,
            )
        past = plan.past or weights.config.n_positions
        chunk = min(CHUNK, past)
        for step in (True, False):
            part = builder if step else builder.sibling()
            shape = StaticShape(1 if step else chunk, past, head=step)
            linear = StandardLinear(part, weights, recipe, ranges)
            StandardGraph(part, weights, linear, shape).build()
            name = MODEL_FILE if step else CHUNK_FILE
            part.save("gpt2_step" if step else "gpt2_chunk", __version__, name, embed=False)
    return Graph(
        file=MODEL_FILE,
        cache="host",
        min_onnxruntime=_STANDARD_MIN_ONNXRUNTIME,
        names=STATIC_NAMES,
        static=StaticGraph(past=past, chunk=chunk, chunk_file=CHUNK_FILE),
        flavour=flavour,
        cache_dtype=cache_dtype,
    )
