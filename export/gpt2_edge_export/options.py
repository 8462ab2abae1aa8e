"""What an export may be told, and the graph that follows from it."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2_edge.errors import ExportError
from gpt2_edge.untrusted import shown
from gpt2_edge.values import real_number, whole_number
from gpt2_edge_export.graph.flavours import flavour_recipe
from gpt2_edge_export.graph.plan import GraphPlan
from gpt2_edge_export.graph.versions import CACHE_MIN_ONNXRUNTIME

ENGINES = ("fused", "optimum")
# Fields by kind, with how the command calls the limits.
_NAMES = ("recipe", "engine", "cache_dtype", "flavour", "compute_dtype")
_SWITCHED_PATHS = ("tokenizer", "calibration")
_WHOLE = ("block_size", "past")
_LIMITS = {"max_kl": "--max-kl", "max_megabytes": "--max-size"}
_SWITCHES = ("report", "force")


@dataclass(frozen=True)
class ExportOptions:
    """What an export may be told.

    Args:
        recipe: one of RECIPES.
        engine: "fused" builds the graph here; "optimum" takes optimum-onnx's (fp32 only).
        tokenizer: a path, None or True for the one beside the weights, False for none.
        block_size: how many weights of int8 or int4 share a scale at most.
        activation_function: overrides the config's.
        calibration: a text file, None or True for the exporter's own, False to round every weight
            to nearest.
        report_text: a text file to measure quality on, None for the exporter's own.
        report: whether to measure it.
        max_kl: instead of a recipe, choose bits matrix by matrix so that the mean KL divergence
            from fp32, in nats per token, stays under it.
        max_megabytes: likewise, so that the model file stays under it.
        cache_dtype: of keys and values, "float32", "float16" or "int8".
        flavour: the graph variant, one of FLAVOURS.
        past: capacity of a static graph's cache in tokens, None for the model's context.
        compute_dtype: what matrices are multiplied in; "float16" for GPUs.
        force: replace an older package.

    Raises ExportError for a value of another type, and for limits that are not above 0.
    """

    recipe: str = "int4"
    engine: str = "fused"
    tokenizer: Path | str | bool | None = None
    block_size: int | None = None
    activation_function: str | None = None
    calibration: Path | str | bool | None = None
    report_text: Path | str | None = None
    report: bool = True
    max_kl: float | None = None
    max_megabytes: float | None = None
    cache_dtype: str = "float32"
    flavour: str = "fused"
    past: int | None = None
    compute_dtype: str = "float32"
    force: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            object.__setattr__(self, field.name, _checked(field.name, given))


def graph_plan(options: ExportOptions) -> GraphPlan:
    """The graph that `options` ask for; ExportError where they do not go together."""
    if options.engine not in ENGINES:
        raise ExportError(f"engine {shown(options.engine)} is not one of {', '.join(ENGINES)}")
    if options.engine == "optimum" and (options.recipe != "fp32" or options.activation_function):
        raise ExportError("--engine optimum exports fp32 as the checkpoint says; add --recipe fp32")
    if options.cache_dtype not in CACHE_MIN_ONNXRUNTIME:
        raise ExportError(
            f"cache dtype {shown(options.cache_dtype)} is not one of "
            f"{', '.join(CACHE_MIN_ONNXRUNTIME)}"
        )
    if options.engine == "optimum" and options.cache_dtype != "float32":
        raise ExportError("--engine optimum has a float32 cache; leave out --cache-dtype")
    searched = options.max_kl is not None or options.max_megabytes is not None
    if options.flavour != "fused":
        if options.engine == "optimum":
            raise ExportError("--engine optimum has a graph of its own; leave out --flavour")
        if options.cache_dtype != "float32":
            raise ExportError(
                f"--flavour {options.flavour} has a float32 cache; leave out --cache-dtype"
            )
        if searched:
            raise ExportError("--max-kl and --max-size choose formats of --flavour fused")
    if options.cache_dtype == "int8" and False in (options.calibration, options.tokenizer):
        left_out = "--no-calibration" if options.calibration is False else "--no-tokenizer"
        raise ExportError(
            "an int8 cache has scales that calibration finds on a text: leave out "
            f"{left_out}, or take --cache-dtype float16"
        )
    if options.compute_dtype not in ("float32", "float16"):
        raise ExportError(
            f"compute dtype {shown(options.compute_dtype)} is not one of float32, float16"
        )
    recipe = flavour_recipe(options.flavour, options.recipe, options.block_size)
    if options.compute_dtype == "float16" and (
        options.flavour != "fused"
        or options.engine != "fused"
        or recipe.name == "fp32"
        or recipe.linear.by_row
    ):
        raise ExportError(
            "--compute-dtype float16 goes with --flavour fused and --recipe fp16, int4 or "
            "int4-small"
        )
    if options.past is not None and options.flavour != "static":
        raise ExportError("--past is the fixed size of --flavour static; others have none")
    return GraphPlan(
        recipe,
        options.flavour,
        options.engine,
        options.cache_dtype,
        options.compute_dtype,
        options.past,
    )


def _checked(name: str, value: Any) -> Any:
    """`value` of the option `name` in its plain form."""
    if name in _NAMES:
        return value if isinstance(value, str) else _refuse(name, value, "a name")
    if name in _SWITCHES:
        return value if isinstance(value, bool) else _refuse(name, value, "True or False")
    if name in _SWITCHED_PATHS and isinstance(value, bool):
        return None if value else False
    if value is None:
        return None
    if name == "activation_function":
        return value if isinstance(value, str) else _refuse(name, value, "a name")
    if name in _WHOLE:
        number = whole_number(value)
        return _refuse(name, value, "a whole number") if number is None else number
    if name in _LIMITS:
        limit = real_number(value)
        if limit is None:
            return _refuse(name, value, "a number")
        if not 0 < limit < math.inf:
            raise ExportError(f"{_LIMITS[name]} is {limit:g}; it must be a number above 0")
        return limit
    if isinstance(value, (str, os.PathLike)) and isinstance(os.fspath(value), str):
        return Path(value)
    return _refuse(name, value, "a path")


def _refuse(name: str, value: Any, expected: str) -> Any:
    raise ExportError(f"the option {name} is {shown(value)}; it must be {expected}")
