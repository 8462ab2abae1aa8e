"""Whole packages, hashes included, whose graphs are not what a runtime may expect."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

_OPERATOR_SET = 99
WEIGHTS = "weights.bin"
_Change = Callable[[onnx.ModelProto], None]


def newer_operators(model: onnx.ModelProto) -> None:
    """Operators of a set that nobody has."""
    for entry in model.opset_import:
        if not entry.domain:
            entry.version = _OPERATOR_SET


def not_numbers(model: onnx.ModelProto) -> None:
    """A weight that makes every logit NaN."""
    replace(model, "ln_f.bias", np.float32(np.nan))


def no_number_for_later(model: onnx.ModelProto) -> None:
    """Only what the last position's embedding touches is NaN: prompts work, then they do not."""
    table = array_of(model, "wpe.weight").copy()
    table[5:] = np.nan
    set_array(model, "wpe.weight", table)


def replace(model: onnx.ModelProto, name: str, value: np.float32) -> None:
    set_array(model, name, np.full_like(array_of(model, name), value))


def array_of(model: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(next(i for i in model.graph.initializer if i.name == name))


def set_array(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    initializer = next(i for i in model.graph.initializer if i.name == name)
    initializer.CopyFrom(numpy_helper.from_array(value, name))


def computed_positions(model: onnx.ModelProto) -> None:
    """A position table that a node computes, so that its size cannot be read in the file."""
    gather = next(
        n for n in model.graph.node if n.op_type == "Gather" and "position_ids" in n.input
    )
    table = gather.input[0]
    gather.input[0] = "positions.negated.twice"
    index = list(model.graph.node).index(gather)
    model.graph.node.insert(index, onnx.helper.make_node("Neg", [table], ["positions.negated"]))
    twice = onnx.helper.make_node("Neg", ["positions.negated"], ["positions.negated.twice"])
    model.graph.node.insert(index + 1, twice)


def fixed_length(model: onnx.ModelProto) -> None:
    input_named(model, "input_ids").type.tensor_type.shape.dim[1].dim_value = 1


def ids_of_32_bits(model: onnx.ModelProto) -> None:
    input_named(model, "input_ids").type.tensor_type.elem_type = onnx.TensorProto.INT32


def more_inputs(model: onnx.ModelProto) -> None:
    extra = onnx.helper.make_tensor_value_info("surprise", onnx.TensorProto.FLOAT, [1])
    model.graph.input.append(extra)


def input_named(model: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    return next(i for i in model.graph.input if i.name == name)


CHANGES: dict[str, _Change | None] = {
    "newer-operators": newer_operators,
    "not-numbers": not_numbers,
    "no-number-for-later": no_number_for_later,
    "computed-positions": computed_positions,
    "fixed-length": fixed_length,
    "ids-of-32-bits": ids_of_32_bits,
    "more-inputs": more_inputs,
    "other-weights": None,  # the same graph, its weights in a file of another name
}


def write(source: Path, folder: Path, change: _Change | None) -> None:
    shutil.copytree(source, folder)
    path = folder / "model.onnx"
    model = onnx.load(path)
    if change is not None:
        change(model)
        onnx.save(model, path)
    else:
        path.unlink()
        onnx.save(model, path, save_as_external_data=True, location=WEIGHTS, size_threshold=64)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for name in ("model.onnx", WEIGHTS):
        if (folder / name).exists():
            content = (folder / name).read_bytes()
            manifest["files"][name] = {
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
