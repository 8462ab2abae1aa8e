"""What an export may be told."""

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

# Fields by kind, with how the command calls the limits.
_NAMES = ("recipe", "engine", "cache_dtype", "flavour", "compute_dtype")
_SWITCHED_PATHS = ("tokenizer", "calibration")
_WHOLE = ("block_size", "past")
_LIMITS = {"max_kl": "--max-kl", "max_megabytes": "--max-size"}
_SWITCHES = ("report", "force")


@dataclass(frozen=True)
class ExportOptions:
    """What an export may be told.

    recipe: one of RECIPES. engine: "fused" builds the graph here; "optimum" takes optimum-onnx's
    (fp32 only). tokenizer: a path, None or True for the one beside the weights, False for none.
    block_size: the largest block of int8 or int4. activation_function: overrides the config's.
    calibration: a text file, None or True for the exporter's own, False to round every weight to
    nearest. report_text: a text file to measure quality on, None for the exporter's own; report:
    whether to measure it. max_kl, max_megabytes: instead of a recipe, choose bits matrix by matrix
    so that the mean KL divergence, or the model file, stays under it. cache_dtype: of keys and
    values, "float32", "float16" or "int8". flavour: one of FLAVOURS. past: room of a static graph's
    cache in tokens, None for the model's context. compute_dtype: what matrices are multiplied in,
    "float16" for GPUs. force: replace an older package.

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
