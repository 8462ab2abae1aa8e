"""GPT-2 in standard ONNX operators: the flavours `portable` and `static`.

`portable` takes a concatenated cache and any mask, and runs wherever ONNX does. `static` is two
graphs of fixed shapes over the same weights, for NPUs and mobile providers: a step of one token,
and a chunk of a prompt that only fills the cache; new keys and values come back as they are, and
the client writes them into its own cache. Shapes in comments: B batch, S tokens of this step, P
tokens in the cache, T = P + S, H hidden size, N heads, D head size, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpt2_edge.files.manifest import GraphNames
from gpt2_edge_export.graph.onnx_builder import OnnxBuilder
from gpt2_edge_export.graph.operators import write_activation
from gpt2_edge_export.graph.standard_linear import StandardLinear
from gpt2_edge_export.graph.standard_mask import Mask, PortableMask, StaticMask
from gpt2_edge_export.quantize import (
    EMBEDDING_SCALE,
    HEAD_BIAS,
    Weights,
    activation_of,
    cache_head_size,
)

PORTABLE_NAMES = GraphNames()
STATIC_NAMES = GraphNames(attention_mask="attention_bias", logits_to_keep=None)
_KEPT_FROM = "kept_from"


@dataclass(frozen=True)
class StaticShape:
    """Fixed sizes of a graph: tokens of a step, room of the cache, whether it has a head."""

    tokens: int
    past: int
    head: bool


class StandardGraph:
    """Writes one graph into `builder`; without `static` sizes are left open (`portable`)."""

    def __init__(
        self,
        builder: OnnxBuilder,
        weights: Weights,
        linear: StandardLinear,
        static: StaticShape | None = None,
    ) -> None:
        self._builder = builder
        self._weights = weights
        self._config = weights.config
        self._linear = linear
        self._static = static
        self._names = STATIC_NAMES if static else PORTABLE_NAMES
        self._head_size = cache_head_size(weights.config)
        self._node, self._constant = builder.node, builder.weight

    def build(self) -> None:
        """Add inputs, outputs, nodes and weights."""
        config, static = self._config, self._static
        ids, positions, mask = self._inputs()
        hidden = self._node(
            "Add", [self._tokens(ids), self._linear.positions(positions)], "embedded"
        )
        for layer in range(config.n_layer):
            last = layer == config.n_layer - 1
            normed = self._norm(hidden, f"h.{layer}.ln_1")
            query, key, value = self._heads(normed, layer)
            if last and static and not static.head:
                self._cache_outputs(key, value, layer)  # all that a chunk is fed for
                return
            bias = mask.bias(config.attention_window(layer))
            attended = self._attention(query, key, value, bias, layer)
            if last and not static:
                attended, hidden = (
                    self._keep_last(attended, "attended"),
                    self._keep_last(hidden, "h"),
                )
            projected = self._linear.apply(attended, f"h.{layer}.attn.c_proj")
            hidden = self._node("Add", [hidden, projected], f"h.{layer}.attn.residual")
            inner = self._linear.apply(self._norm(hidden, f"h.{layer}.ln_2"), f"h.{layer}.mlp.c_fc")
            inner = self._activation(inner, layer)
            projected = self._linear.apply(inner, f"h.{layer}.mlp.c_proj")
            hidden = self._node("Add", [hidden, projected], f"h.{layer}.mlp.residual")
        self._head(self._norm(hidden, "ln_f"))

    def _inputs(self) -> tuple[str, str, Mask]:
        """Declare inputs and outputs; names of ids and positions, and what layers may see."""
        names, config, static = self._names, self._config, self._static
        add, output = self._builder.input, self._builder.output
        assert names.position_ids
        batch: str | int = 1 if static else "batch_size"  # see fused_graph.py
        tokens: str | int = static.tokens if static else "seq"
        # NNAPI and Core ML take indices of 32 bits only.
        kind = np.int32 if static else np.int64
        ids = add(names.input_ids, kind, [batch, tokens])
        positions = add(names.position_ids, kind, [batch, tokens])
        if static:
            bias_shape = [1, 1, static.tokens, static.past + static.tokens]
            bias = add(names.attention_mask, np.float32, bias_shape)
        else:
            mask = add(names.attention_mask, np.int64, [batch, "total"])
        if not static or static.head:
            output(names.logits, np.float32, [batch, 1, config.vocab_size])
        head = (config.n_head, self._head_size)
        for layer in range(config.n_layer):
            past: str | int = static.past if static else "past"
            present: str | int = static.tokens if static else "present"
            shape = [batch, head[0], past, head[1]]
            new = [batch, head[0], present, head[1]]
            key, new_key = (_transposed(shape), _transposed(new)) if static else (shape, new)
            reads_past = not static or static.head or layer < config.n_layer - 1
            if reads_past:
                add(names.past_key.format(i=layer), np.float32, key)
                add(names.past_value.format(i=layer), np.float32, shape)
            output(names.present_key.format(i=layer), np.float32, new_key)
            output(names.present_value.format(i=layer), np.float32, new)
        if static:
            return ids, positions, StaticMask(self._builder, bias, positions, static.past)
        assert names.logits_to_keep
        add(names.logits_to_keep, np.int64, [1])
        self._constant(names.logits_to_keep, np.array([1], np.int64))
        self._node("Neg", [names.logits_to_keep], _KEPT_FROM)
        return ids, positions, PortableMask(self._builder, mask, ids)

    def _tokens(self, ids: str) -> str:
        tokens = self._linear.embedding(ids)
        if not self._weights.has(EMBEDDING_SCALE):
            return tokens
        scale = self._builder.weight_of(EMBEDDING_SCALE, self._weights.tensor)
        return self._node("Mul", [tokens, scale], "tokens.scaled")

    def _heads(self, normed: str, layer: int) -> tuple[str, str, str]:
        """Query, key and value, each [B, N, S, D]."""
        node, attn = self._node, f"h.{layer}.attn"
        packed = self._linear.apply(normed, f"{attn}.c_attn")
        shape = np.array([0, 0, 3 * self._config.n_head, self._head_size])
        split = node("Reshape", [packed, self._constant("heads", shape)], f"{attn}.split")
        split = node("Transpose", [split], f"{attn}.heads", perm=[0, 2, 1, 3])
        parts = [f"{attn}.{part}" for part in ("query", "key", "value")]
        node("Split", [split], f"{attn}.parts", outputs=parts, axis=1, num_outputs=3)
        scale = np.float32(self._config.attention_scale(layer))
        scale_name = self._constant(f"{attn}.scale", scale)
        return node("Mul", [parts[0], scale_name], f"{attn}.scaled"), parts[1], parts[2]

    def _attention(self, query: str, key: str, value: str, bias: str, layer: int) -> str:
        """Attention over cache and step: [B, N, S, D] each -> [B, S, N * D]."""
        node, attn = self._node, f"h.{layer}.attn"
        mixed = (self._over_static if self._static else self._over_concatenated)(
            query, key, value, bias, layer
        )
        rows = node("Transpose", [mixed], f"{attn}.rows", perm=[0, 2, 1, 3])
        shape = np.array([0, 0, self._config.n_head * self._head_size])
        return node("Reshape", [rows, self._constant("rows", shape)], f"{attn}.attended")

    def _over_concatenated(self, query: str, key: str, value: str, bias: str, layer: int) -> str:
        """The present is past and new; it goes out whole."""
        node, attn, names = self._node, f"h.{layer}.attn", self._names
        present = [
            node("Concat", [past.format(i=layer), new], out.format(i=layer), axis=2)
            for past, new, out in (
                (names.past_key, key, names.present_key),
                (names.past_value, value, names.present_value),
            )
        ]
        keys = node("Transpose", [present[0]], f"{attn}.keys", perm=[0, 1, 3, 2])
        scores = node("MatMul", [query, keys], f"{attn}.scores")
        scores = node("Add", [scores, bias], f"{attn}.masked")
        weights = node("Softmax", [scores], f"{attn}.weights", axis=-1)
        return node("MatMul", [weights, present[1]], f"{attn}.mixed")

    def _over_static(self, query: str, key: str, value: str, bias: str, layer: int) -> str:
        """Past and new are multiplied apart, so that the cache is never copied.

        Keys lie transposed in the cache: [1, N, D, P].
        """
        node, attn, names, static = self._node, f"h.{layer}.attn", self._names, self._static
        assert static
        new_keys = self._cache_outputs(key, value, layer)
        past = [name.format(i=layer) for name in (names.past_key, names.past_value)]
        scores = [
            node("MatMul", [query, past[0]], f"{attn}.scores.past"),
            node("MatMul", [query, new_keys], f"{attn}.scores.new"),
        ]
        joined = node("Concat", scores, f"{attn}.scores", axis=3)
        joined = node("Add", [joined, bias], f"{attn}.masked")
        weights = node("Softmax", [joined], f"{attn}.weights", axis=-1)
        mixed = []
        axis = self._constant("axis_3", np.array([3]))
        for part, start, end, values in (
            ("past", 0, static.past, past[1]),
            ("new", static.past, static.past + static.tokens, value),
        ):
            bounds = [self._constant(f"at_{number}", np.array([number])) for number in (start, end)]
            share = node("Slice", [weights, *bounds, axis], f"{attn}.weights.{part}")
            mixed.append(node("MatMul", [share, values], f"{attn}.mixed.{part}"))
        return node("Add", mixed, f"{attn}.mixed")

    def _cache_outputs(self, key: str, value: str, layer: int) -> str:
        """What a static step adds to the cache goes out; the keys as [1, N, D, S]."""
        names, node = self._names, self._node
        node("Identity", [value], names.present_value.format(i=layer))
        return node("Transpose", [key], names.present_key.format(i=layer), perm=[0, 1, 3, 2])

    def _norm(self, x: str, name: str) -> str:
        """LayerNorm over the last axis; in its parts for static, since NNAPI has none whole."""
        node = self._node
        weight, bias = (
            self._builder.weight_of(f"{name}.{kind}", self._weights.tensor)
            for kind in ("weight", "bias")
        )
        epsilon = self._config.layer_norm_epsilon
        if not self._static:
            return node("LayerNormalization", [x, weight, bias], name, epsilon=epsilon)
        last = self._constant("last_axis", np.array([-1]))
        centred = node("Sub", [x, node("ReduceMean", [x, last], f"{name}.mean")], f"{name}.centred")
        square = node("Mul", [centred, centred], f"{name}.square")
        variance = node("ReduceMean", [square, last], f"{name}.variance")
        offset = self._constant("epsilon", np.float32(epsilon))
        deviation = node(
            "Sqrt", [node("Add", [variance, offset], f"{name}.v")], f"{name}.deviation"
        )
        relative = node("Div", [centred, deviation], f"{name}.relative")
        return node("Add", [node("Mul", [relative, weight], f"{name}.scaled"), bias], name)

    def _activation(self, x: str, layer: int) -> str:
        """The activation; for static in basic operators, which mobile providers take."""
        activation, name = activation_of(self._weights, layer), f"h.{layer}.mlp.act"
        return write_activation(self._builder, activation, x, name, basic=self._static is not None)

    def _head(self, normed: str) -> None:
        table = "wte.weight" if self._config.tie_word_embeddings else "lm_head.weight"
        logits = self._linear.product(normed, table)
        if self._weights.has(HEAD_BIAS):
            bias = self._builder.weight_of(HEAD_BIAS, self._weights.tensor)
            logits = self._node("Add", [logits, bias], f"{HEAD_BIAS}.added")
        self._node("Identity", [logits], self._names.logits)

    def _keep_last(self, x: str, name: str) -> str:
        """The last `logits_to_keep` positions of x [B, S, ...]; 0 keeps all."""
        end = self._constant("int64_max", np.array([2**63 - 1]))
        axis = self._constant("axis_1", np.array([1]))
        return self._node("Slice", [x, _KEPT_FROM, end, axis], f"{name}.kept")


def _transposed(shape: list[str | int]) -> list[str | int]:
    return [*shape[:2], shape[3], shape[2]]
