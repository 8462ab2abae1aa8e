"""Rows of a quantized token table that the head reads as well: ids [B, S] to float32 [B, S, H]."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from gpt2_edge_export.graph.onnx_builder import MICROSOFT, OnnxBuilder
from gpt2_edge_export.quantize import MatrixFormat


def rows_of_bytes(builder: OnnxBuilder, packed: str, scales: str, ids: str) -> str:
    """Rows of a table [V, blocks, block_size] in 8 bits, with float32 scales [V, blocks].

    They are those of GatherBlockQuantized, which ONNX Runtime's WebAssembly with WebGPU lacks on
    the processor; transformers.js loads no other build in browsers.
    """
    node, constant = builder.node, builder.weight
    integers = node("Gather", [packed, ids], "tokens.bytes")
    floats = node("Cast", [integers], "tokens.floats", to=TensorProto.FLOAT)
    centred = node("Sub", [floats, constant("middle_8", np.float32(128))], "tokens.centred")
    steps = node("Gather", [scales, ids], "tokens.scales")
    steps = node("Unsqueeze", [steps, constant("last_axis", np.array([-1]))], "tokens.steps")
    blocks = node("Mul", [centred, steps], "tokens.blocks")
    return node("Reshape", [blocks, constant("token_rows", np.array([0, 0, -1]))], "tokens")


def rows_of_blocks(
    builder: OnnxBuilder, packed: str, scales: str, ids: str, form: MatrixFormat, vocab_size: int
) -> str:
    """Rows of a table [V, blocks, bytes] in any bits, by one operator."""
    shape = builder.weight("table_shape", np.array([vocab_size, -1]))
    return builder.node(
        "GatherBlockQuantized",
        [builder.node("Reshape", [packed, shape], "wte.rows"), ids, scales],
        "tokens",
        domain=MICROSOFT,
        bits=form.bits,
        block_size=form.block_size,
        gather_axis=0,
        quantize_axis=1,
    )
