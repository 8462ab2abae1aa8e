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

from gpt2_edge_export.calibrate.rows import affine, as_matrix, layer_norm
from gpt2_edge_export.checkpoint.activations import Activation
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.graph.onnx_builder import IR_VERSION, MICROSOFT, OPSET
from gpt2_edge_export.graph.operators import write_activation
from gpt2_edge_export.quantize.weights import (
    EMBEDDING_SCALE,
    HEAD_BIAS,
    TensorSource,
    activation_of,
    cache_head_size,
)

Floats = npt.NDArray[np.float32]

# Positions that attend at once. The operator computes scores of later positions, too, and leaves
# them out: in parts a window of 1,024 takes less than half the time, and gives the same bits.
_ATTENDING = 128

See = Callable[[str, Floats], object]
_Values = dict[str, tuple[int, list[int | str]]]


class Forward:
    """The stages of a GPT-2 of `config`, for windows of tokens: float32 [windows, seq, ...]."""

    def __init__(self, config: GPT2Config) -> None:
        self._config = config
        self._head_size = cache_head_size(config)
        self._attention = _session(_attention_graph(config, self._head_size))
        self._in_windows = (
            _session(_attention_graph(config, self._head_size, biased=True))
            if config.has_windows
            else None
        )
        self._activation: tuple[Activation, ort.InferenceSession] | None = None

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
            return affine(x, weights.tensor(f"{name}.weight"), weights.tensor(f"{name}.bias"))

        packed = linear(self.normed(weights, hidden, f"h.{layer}.ln_1"), "attn.c_attn")
        hidden = hidden + linear(self.attention(packed, layer), "attn.c_proj")
        inner = linear(self.normed(weights, hidden, f"h.{layer}.ln_2"), "mlp.c_fc")
        return hidden + linear(self.activation(weights, inner, layer), "mlp.c_proj")

    def logits(self, weights: TensorSource, hidden: Floats) -> Floats:
        """Logits [windows * seq, vocab] of hidden states behind the last layer."""
        normed = self.normed(weights, hidden, "ln_f")
        logits: Floats = as_matrix(normed) @ weights.tensor(self.head).T
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
        return layer_norm(hidden, weight, bias, self._config.layer_norm_epsilon)

    def attention(self, packed: Floats, layer: int) -> Floats:
        """Causal attention of query, key and value [windows, seq, 3 * heads * head size]."""
        config = self._config
        # The operator has one scale; layers that want another get scaled queries.
        ratio = config.attention_scale(layer) / config.attention_scale(0)
        if ratio != 1:
            packed = packed.copy()
            packed[..., : packed.shape[-1] // 3] *= ratio
        attended = np.empty((*packed.shape[:2], packed.shape[2] // 3), np.float32)
        window, seq = config.attention_window(layer), packed.shape[1]
        hidden = None if window is None or window >= seq else window
        for text, output in zip(packed, attended, strict=True):
            self._attend(text, output, hidden)
        return attended

    def activation(self, weights: TensorSource, x: Floats, layer: int) -> Floats:
        """The activation between the two matrices of the MLP of layer number `layer`."""
        session, activated = self._activation_session(weights, layer), np.empty_like(x)
        binding = session.io_binding()
        _bind(binding.bind_input, "x", as_matrix(x))
        _bind(binding.bind_output, "y", as_matrix(activated))
        session.run_with_iobinding(binding)
        return activated

    def _activation_session(self, weights: TensorSource, layer: int) -> ort.InferenceSession:
        activation = activation_of(weights, layer)
        if self._activation is None or self._activation[0] != activation:
            self._activation = activation, _session(_activation_graph(activation))
        return self._activation[1]

    def _attend(self, text: Floats, output: Floats, window: int | None) -> None:
        """Attention of one text [seq, 3 * heads * head size], written to `output`."""
        session = self._attention
        if window is not None:
            assert self._in_windows
            session = self._in_windows
        seq = len(text)
        # Past and present are one buffer: the operator adds to it in place.
        room = (1, self._config.n_head, seq, self._head_size)
        key, value = np.empty(room, np.float32), np.empty(room, np.float32)
        binding = session.io_binding()
        for name, cache in (("key", key), ("value", value)):
            _bind(binding.bind_input, f"past_{name}", cache)
            _bind(binding.bind_output, name, cache)
        for start in range(0, seq, _ATTENDING):
            end = min(start + _ATTENDING, seq)
            _bind(binding.bind_input, "packed", text[None, start:end])
            if window is not None:
                bias = _window_bias(window, start, end)
                _bind(binding.bind_input, "bias", bias)
            binding.bind_cpu_input("seqlens_k", np.array([end - 1], np.int32))
            binding.bind_cpu_input("total", np.array(end, np.int32))
            _bind(binding.bind_output, "attended", output[None, start:end])
            session.run_with_iobinding(binding)


def _window_bias(window: int, start: int, end: int) -> Floats:
    """What hides from tokens `start` to `end` all but the last `window`: [1, 1, tokens, end].

    A bias, not the operator's own window, which ONNX Runtime counts otherwise since 1.24.
    """
    hidden = np.tri(end - start, end, k=start - window, dtype=np.float32)[None, None]
    bias: Floats = np.where(hidden, np.finfo(np.float32).min, np.float32(0))
    return bias


def _bind(bind: Callable[..., None], name: str, array: Floats) -> None:
    """Let a session read or write `array` where it is; it has to be contiguous."""
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not contiguous")
    bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)


def _attention_graph(config: GPT2Config, head_size: int, biased: bool = False) -> bytes:
    past: list[int | str] = ["one", config.n_head, "past", head_size]
    inputs: _Values = {
        "packed": (TensorProto.FLOAT, ["one", "seq", 3 * config.n_head * head_size]),
        "past_key": (TensorProto.FLOAT, past),
        "past_value": (TensorProto.FLOAT, past),
        "seqlens_k": (TensorProto.INT32, ["one"]),
        "total": (TensorProto.INT32, []),
    }
    names = ["packed", "", "", "past_key", "past_value", "seqlens_k", "total"]
    if biased:
        inputs["bias"] = TensorProto.FLOAT, ["one", "heads", "seq", "keys"]
        names += ["", "", "", "bias"]
    node = helper.make_node(
        "GroupQueryAttention",
        names,
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


def _activation_graph(activation: Activation) -> bytes:
    nodes = _Nodes()
    write_activation(nodes, activation, "x", "y", fused=True)
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
