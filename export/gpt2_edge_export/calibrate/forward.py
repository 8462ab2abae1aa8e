"""GPT-2 layer by layer on float32 weights, so that calibration never holds more than one layer.

Matrices are multiplied by NumPy; attention and activation are the operators of the exported graph,
run by ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.graph.onnx_builder import IR_VERSION, MICROSOFT, OPSET
from gpt2_edge_export.graph.operators import write_activation
from gpt2_edge_export.quantize.weights import (
    EMBEDDING_SCALE,
    HEAD_BIAS,
    TensorSource,
    cache_head_size,
)

Floats = npt.NDArray[np.float32]

See = Callable[[str, Floats], object]
_Values = dict[str, tuple[int, list[int | str]]]


class Forward:
    """The stages of a GPT-2 of `config`, for windows of tokens: float32 [windows, seq, ...]."""

    def __init__(self, config: GPT2Config) -> None:
        self._config = config
        self._head_size = cache_head_size(config)
        self._attention = _session(_attention_graph(config, self._head_size))
        self._activation = _session(_activation_graph(config))

    def embed(self, weights: TensorSource, ids: npt.NDArray[np.int64]) -> Floats:
        """Token and position embeddings of ids [windows, seq]."""
        tokens = weights.tensor("wte.weight")[ids]
        if weights.has(EMBEDDING_SCALE):
            tokens = tokens * weights.tensor(EMBEDDING_SCALE)
        embedded: Floats = tokens + weights.tensor("wpe.weight")[: ids.shape[1]]
        return embedded

    def layer(
        self, weights: TensorSource, hidden: Floats, layer: int, see: See = lambda name, x: None
    ) -> Floats:
        """Hidden states [windows, seq, H] behind layer number `layer`.

        see: is shown the inputs [windows, seq, in] of every matrix, by its name.
        """

        def linear(x: Floats, name: str) -> Floats:
            name = f"h.{layer}.{name}"
            see(f"{name}.weight", x)
            product: Floats = x @ weights.tensor(f"{name}.weight") + weights.tensor(f"{name}.bias")
            return product

        packed = linear(self.normed(weights, hidden, f"h.{layer}.ln_1"), "attn.c_attn")
        hidden = hidden + linear(self.attention(packed, layer), "attn.c_proj")
        inner = linear(self.normed(weights, hidden, f"h.{layer}.ln_2"), "mlp.c_fc")
        return hidden + linear(self.activation(inner), "mlp.c_proj")

    def logits(self, weights: TensorSource, hidden: Floats) -> Floats:
        """Logits [windows * seq, vocab] of hidden states behind the last layer."""
        normed = self.normed(weights, hidden, "ln_f")
        logits: Floats = normed.reshape(-1, normed.shape[-1]) @ weights.tensor(self.head).T
        if weights.has(HEAD_BIAS):
            logits += weights.tensor(HEAD_BIAS)
        return logits

    @property
    def head(self) -> str:
        """The name of the head's matrix [vocab, H]."""
        return "wte.weight" if self._config.tie_word_embeddings else "lm_head.weight"

    def normed(self, weights: TensorSource, hidden: Floats, name: str) -> Floats:
        """The LayerNorm `name` of `weights`."""
        return self.norm(hidden, weights.tensor(f"{name}.weight"), weights.tensor(f"{name}.bias"))

    def norm(self, hidden: Floats, weight: Floats, bias: Floats) -> Floats:
        """LayerNorm over the last axis."""
        normed: Floats = hidden - hidden.mean(-1, keepdims=True)
        variance = np.mean(normed**2, -1, keepdims=True)
        normed /= np.sqrt(variance + np.float32(self._config.layer_norm_epsilon))
        normed *= weight
        normed += bias
        return normed

    def attention(self, packed: Floats, layer: int) -> Floats:
        """Causal attention of query, key and value [windows, seq, 3 * heads * head size]."""
        config = self._config
        # The operator has one scale; layers that want another get scaled queries.
        ratio = config.attention_scale(layer) / config.attention_scale(0)
        if ratio != 1:
            packed = packed.copy()
            packed[..., : packed.shape[-1] // 3] *= ratio
        outputs = [self._attend(window[None]) for window in packed]
        return np.concatenate(outputs)

    def activation(self, x: Floats) -> Floats:
        """The activation between the two matrices of the MLP."""
        outputs = [self._activation.run(None, {"x": window})[0] for window in x]
        return np.stack(outputs)

    def _attend(self, window: Floats) -> Floats:
        seq = window.shape[1]
        empty = np.empty((1, self._config.n_head, 0, self._head_size), np.float32)
        feeds = {
            "packed": window,
            "past_key": empty,
            "past_value": empty,
            "seqlens_k": np.array([seq - 1], np.int32),
            "total": np.array(seq, np.int32),
        }
        attended: Floats = self._attention.run(["attended"], feeds)[0]
        return attended


def _attention_graph(config: GPT2Config, head_size: int) -> bytes:
    past: list[int | str] = ["one", config.n_head, "past", head_size]
    inputs: _Values = {
        "packed": (TensorProto.FLOAT, ["one", "seq", 3 * config.n_head * head_size]),
        "past_key": (TensorProto.FLOAT, past),
        "past_value": (TensorProto.FLOAT, past),
        "seqlens_k": (TensorProto.INT32, ["one"]),
        "total": (TensorProto.INT32, []),
    }
    node = helper.make_node(
        "GroupQueryAttention",
        ["packed", "", "", "past_key", "past_value", "seqlens_k", "total"],
        ["attended", "key", "value"],
        domain=MICROSOFT,
        num_heads=config.n_head,
        kv_num_heads=config.n_head,
        scale=config.attention_scale(0),
    )
    outputs: _Values = {
        "attended": (TensorProto.FLOAT, ["one", "seq", config.n_head * head_size]),
        "key": (TensorProto.FLOAT, past),
        "value": (TensorProto.FLOAT, past),
    }
    return _model([node], inputs, outputs)


def _activation_graph(config: GPT2Config) -> bytes:
    nodes = _Nodes()
    write_activation(nodes, config.activation_function, "x", "y", fused=True)
    shape: list[int | str] = ["seq", "inner"]
    return _model(nodes.nodes, {"x": (TensorProto.FLOAT, shape)}, {"y": (TensorProto.FLOAT, shape)})


class _Nodes:
    """Nodes of a graph without a file; constants are nodes too."""

    def __init__(self) -> None:
        self.nodes: list[object] = []
        self._constants: set[str] = set()

    def node(
        self,
        op_type: str,
        inputs: Sequence[str],
        name: str,
        *,
        outputs: Sequence[str] = (),
        domain: str = "",
        **attributes: Any,
    ) -> str:
        results = list(outputs) or [name]
        node = helper.make_node(op_type, list(inputs), results, domain=domain, **attributes)
        self.nodes.append(node)
        return results[0]

    def weight(self, name: str, value: npt.ArrayLike) -> str:
        if name not in self._constants:
            self._constants.add(name)
            self.node("Constant", [], name, value=numpy_helper.from_array(np.asarray(value)))
        return name


def _model(nodes: list[object], inputs: _Values, outputs: _Values) -> bytes:
    values = [
        [helper.make_tensor_value_info(name, *value) for name, value in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "stage", *values)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    serialized: bytes = model.SerializeToString()
    return serialized


def _session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # Threads that wait for the next run would take the processor from NumPy's in between.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
