"""The fused GPT-2 graph, written node by node from the weights.

Every block is the packed query-key-value projection, GroupQueryAttention with as many key as query
heads, the output projection, an addition to the residual stream and its LayerNormalization, two
projections around the activation, and addition and LayerNormalization again, which already is the
next block's first. Shapes in comments: B batch, S tokens of this step, P tokens in the cache, H
hidden size, N heads, D head size.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from gpt2_edge.errors import ExportError
from gpt2_edge.files.manifest import GraphNames
from gpt2_edge_export.graph.embedding import rows_of_blocks, rows_of_bytes
from gpt2_edge_export.graph.linear import LinearOperators
from gpt2_edge_export.graph.onnx_builder import MICROSOFT, OnnxBuilder
from gpt2_edge_export.graph.operators import takes_bias, write_activation
from gpt2_edge_export.graph.plan import GraphPlan
from gpt2_edge_export.graph.versions import CACHE_MIN_ONNXRUNTIME
from gpt2_edge_export.quantize import (
    EMBEDDING_SCALE,
    HEAD_BIAS,
    Weights,
    activation_of,
    cache_head_size,
)

_KEPT_FROM = "kept_from"  # int64 [1]: where the positions start whose logits are asked for
NAMES = GraphNames()


def build_fused_graph(builder: OnnxBuilder, weights: Weights, plan: GraphPlan) -> None:
    """Write the graph of `weights` into `builder`, with the plan's formats, cache and compute type.

    An int8 cache wants the tensors `h.{layer}.attn.key_scale` and `.value_scale` of `weights`:
    float32 [N * D], what a step of 1 in the cache is worth in each channel. Raises ExportError
    where they are missing, and for a cache that is none of CACHE_MIN_ONNXRUNTIME.
    """
    _FusedGraph(builder, weights, plan).build()


class _FusedGraph:
    def __init__(self, builder: OnnxBuilder, weights: Weights, plan: GraphPlan) -> None:
        if plan.cache_dtype not in CACHE_MIN_ONNXRUNTIME:
            raise ExportError(
                f"cache {plan.cache_dtype!r} is not one of {', '.join(CACHE_MIN_ONNXRUNTIME)}"
            )
        self.builder = builder
        self.cache_dtype = np.dtype(plan.cache_dtype)
        self.weights = weights
        self.config = weights.config
        self.recipe = plan.recipe
        self.head_size = cache_head_size(self.config)
        self.linear = LinearOperators(builder, weights, plan.recipe, plan.halves)
        self.halves = plan.halves

    def build(self) -> None:
        config = self.config
        input_ids, position_ids, cache_lengths = self._inputs()
        tokens = self._embed(input_ids)
        positions = self.builder.node(
            "Gather", [self.linear.positions(), position_ids], "positions"
        )
        normed, residual = self._add_and_norm(tokens, positions, "h.0.ln_1")
        for layer in range(config.n_layer):
            attended = self._attention(normed, cache_lengths, layer)
            last = layer == config.n_layer - 1
            if last:
                # From here on only the positions whose logits are asked for matter.
                attended = self._keep_last(attended, f"h.{layer}.attn.kept")
                residual = self._keep_last(residual, f"h.{layer}.residual.kept")
            projected, bias = self.linear.product(attended, f"h.{layer}.attn.c_proj")
            normed, residual = self._add_and_norm(projected, residual, f"h.{layer}.ln_2", bias)
            inner = self._activation(normed, layer)
            projected, bias = self.linear.product(inner, f"h.{layer}.mlp.c_proj")
            norm = "ln_f" if last else f"h.{layer + 1}.ln_1"
            normed, residual = self._add_and_norm(projected, residual, norm, bias)
        self._head(normed)

    def _inputs(self) -> tuple[str, str, tuple[str, str]]:
        """Declare all inputs and the cache outputs; the operator's lengths come from the mask."""
        add, config = self.builder.input, self.config
        # The name by which transformers.js knows this size of an empty cache; others become 0.
        batch = "batch_size"
        input_ids = add(NAMES.input_ids, np.int64, [batch, "seq"])
        mask = add(NAMES.attention_mask, np.int64, [batch, "total"])
        assert NAMES.position_ids
        assert NAMES.logits_to_keep
        position_ids = add(NAMES.position_ids, np.int64, [batch, "seq"])
        # Declared as they are by default, one position: onnxruntime-genai reads that and allocates
        # no more. A client that sets logits_to_keep gets as many as it asks for.
        self.builder.output(NAMES.logits, np.float32, [batch, 1, config.vocab_size])
        for layer in range(config.n_layer):
            heads = (config.n_head, self.head_size)
            for past, present in (
                (NAMES.past_key, NAMES.present_key),
                (NAMES.past_value, NAMES.present_value),
            ):
                add(past.format(i=layer), self.cache_dtype, [batch, heads[0], "past", heads[1]])
                self.builder.output(
                    present.format(i=layer),
                    self.cache_dtype,
                    [batch, heads[0], "present", heads[1]],
                )
        # An initializer that is also an input has a default: clients that do not know it get the
        # last position's logits.
        add(NAMES.logits_to_keep, np.int64, [1])
        self.builder.weight(NAMES.logits_to_keep, np.array([1], np.int64))

        node, constant = self.builder.node, self.builder.weight
        lengths = node(
            "ReduceSum", [mask, constant("axis_1", np.array([1]))], "lengths", keepdims=0
        )
        last = node("Sub", [lengths, constant("one", np.array(1))], "last_positions")
        seqlens_k = node("Cast", [last], "seqlens_k", to=TensorProto.INT32)  # int32 [B]
        mask_shape = node("Shape", [mask], "mask_shape")
        total = node("Gather", [mask_shape, constant("one", np.array(1))], "total_length")
        total = node("Cast", [total], "total_sequence_length", to=TensorProto.INT32)  # int32 scalar
        node("Neg", [NAMES.logits_to_keep], _KEPT_FROM)
        return input_ids, position_ids, (seqlens_k, total)

    def _embed(self, input_ids: str) -> str:
        """Rows of the token table: float32 [B, S, H]."""
        config = self.config
        form = self.recipe.format("wte.weight", config.n_embd)
        if not form.quantized:
            table = self.linear.floats("wte.weight")
            return self.builder.node("Gather", [table, input_ids], "tokens")
        packed, scales = self.linear.packed("wte.weight", form)
        if form.bits == 8 and not self.halves:
            tokens = rows_of_bytes(self.builder, packed, scales, input_ids)
        else:
            tokens = rows_of_blocks(
                self.builder, packed, scales, input_ids, form, config.vocab_size
            )
        if not form.divides(config.n_embd):
            constant = self.builder.weight
            tokens = self.builder.node(
                "Slice",
                [
                    tokens,
                    constant("zero_1d", np.array([0])),
                    constant("width_1d", np.array([config.n_embd])),
                    constant("axis_2", np.array([2])),
                ],
                "tokens.unpadded",
            )
        if self.weights.has(EMBEDDING_SCALE):
            scale = self._weight(EMBEDDING_SCALE)
            tokens = self.builder.node("Mul", [tokens, scale], "tokens.scaled")
        return tokens

    def _attention(self, normed: str, cache_lengths: tuple[str, str], layer: int) -> str:
        """Causal attention over cache and step: [B, S, H] -> [B, S, N * D]."""
        attn, node = f"h.{layer}.attn", self.builder.node
        packed = self.linear.apply(normed, f"{attn}.c_attn")  # [B, S, 3 * N * D]
        # The operator takes a float16 cache only with float16 queries, and gives what it takes.
        halves = self.cache_dtype == np.float16
        if halves:
            packed = node("Cast", [packed], f"{attn}.c_attn.float16", to=TensorProto.FLOAT16)
        past = [NAMES.past_key.format(i=layer), NAMES.past_value.format(i=layer)]
        inputs = [packed, "", "", *past, *cache_lengths]
        further: dict[str, int | str] = {}
        if self.cache_dtype == np.int8:
            absent = [""] * 5  # between the lengths and the scales
            inputs += [*absent, *(self._cache_scale(f"{attn}.{kind}") for kind in ("key", "value"))]
            further = {
                "k_quant_type": "PER_CHANNEL",
                "v_quant_type": "PER_CHANNEL",
                "kv_cache_bit_width": 8,
            }
        window = self.config.attention_window(layer)
        if window is not None:
            further["local_window_size"] = window
        result = f"{attn}.attended" if halves else attn
        present = [NAMES.present_key.format(i=layer), NAMES.present_value.format(i=layer)]
        attended = node(
            "GroupQueryAttention",
            inputs,
            result,
            outputs=[result, *present],
            domain=MICROSOFT,
            num_heads=self.config.n_head,
            kv_num_heads=self.config.n_head,
            scale=self.config.attention_scale(layer),
            **further,
        )
        if halves:
            return node("Cast", [attended], attn, to=TensorProto.FLOAT)
        return attended

    def _cache_scale(self, name: str) -> str:
        """Scales of the int8 keys or values of a layer: float32 [1, N, 1, D]."""
        name = f"{name}_scale"
        if not self.weights.has(name):
            raise ExportError(
                "an int8 cache has scales that calibration finds on a text: leave out "
                "--no-calibration, or take --cache-dtype float16"
            )
        scale: npt.NDArray[np.float32] = self.weights.tensor(name)
        # A channel that is always zero, such as the padding of heads, may have any other scale.
        scale = np.where(scale > 0, scale, np.float32(1))
        return self.builder.weight(name, scale.reshape(1, self.config.n_head, 1, self.head_size))

    def _add_and_norm(
        self, branch: str, residual: str, norm: str, bias: str = ""
    ) -> tuple[str, str]:
        """LayerNorm(branch + bias + residual), and the sum itself: both [B, S, H].

        For GPUs in one operator, to launch fewer kernels. On a CPU that one takes up to seven
        times as long as an addition and a LayerNormalization, which ONNX Runtime leaves as they
        are because the sum has a second reader. Sum only where a CPU computes: WebGPU has no such
        kernel.
        """
        node, total = self.builder.node, f"{norm}.sum"
        scale_and_shift = [self._weight(f"{norm}.weight"), self._weight(f"{norm}.bias")]
        epsilon = self.config.layer_norm_epsilon
        if self.halves:
            normed = node(
                "SkipLayerNormalization",
                [branch, residual, *scale_and_shift, *([bias] if bias else [])],
                norm,
                outputs=[norm] if norm == "ln_f" else [norm, "", "", total],
                domain=MICROSOFT,
                epsilon=epsilon,
            )
            return normed, total
        if bias:
            node("Sum", [branch, residual, bias], total)
        else:
            node("Add", [branch, residual], total)
        normed = node("LayerNormalization", [total, *scale_and_shift], norm, epsilon=epsilon)
        return normed, total

    def _activation(self, normed: str, layer: int) -> str:
        """The MLP's first matrix and its activation: [B, S, H] -> [B, S, inner]."""
        act, mlp = activation_of(self.weights, layer), f"h.{layer}.mlp"
        inner, bias = self.linear.product(normed, f"{mlp}.c_fc")
        if bias and not takes_bias(act.function):
            inner, bias = self.builder.node("Add", [inner, bias], f"{mlp}.c_fc"), ""
        return write_activation(self.builder, act, inner, f"{mlp}.act", fused=True, bias=bias)

    def _head(self, normed: str) -> None:
        """Logits of the kept positions: [B, kept, H] -> [B, kept, V]."""
        config = self.config
        table = "wte.weight" if config.tie_word_embeddings else "lm_head.weight"
        form = self.recipe.format(table, config.n_embd)
        if form.quantized:
            bias = self._weight(HEAD_BIAS) if self.weights.has(HEAD_BIAS) else ""
            sizes = (config.n_embd, config.vocab_size)
            if not (bias and self.halves):
                self.linear.matmul_nbits(normed, table, sizes, form, NAMES.logits, bias)
                return
            product = self.linear.matmul_nbits(normed, table, sizes, form, f"{table}.product")
            self.builder.node("Add", [product, bias], NAMES.logits)
            return
        # Gemm multiplies by the transposed table, so that embedding and head share one copy.
        node, constant = self.builder.node, self.builder.weight
        width = constant("hidden_rows", np.array([-1, config.n_embd]))
        rows = node("Reshape", [normed, width], "ln_f.rows")
        logits = self._rows_by_table(rows, table, form.bits)
        shape = node("Shape", [normed], "ln_f.shape", end=2)
        vocab = constant("vocab_1d", np.array([config.vocab_size]))
        shape = node("Concat", [shape, vocab], "logits.shape", axis=0)
        node("Reshape", [logits, shape], NAMES.logits)

    def _rows_by_table(self, rows: str, table: str, bits: int) -> str:
        """Rows [n, H] times the transposed float table [V, H]."""

        def multiply(x: str, name: str, matrix: str) -> str:
            return self.builder.node("Gemm", [x, matrix], name, transB=1)

        floats = self.linear.floats(table)
        if not (self.halves and bits == 16):
            return multiply(rows, "logits.rows", floats)
        return self.linear.in_halves(
            rows, "logits.rows", lambda half: multiply(half, "logits.halves", table)
        )

    def _keep_last(self, x: str, name: str) -> str:
        """The last `logits_to_keep` positions of x [B, S, ...]; 0 keeps all."""
        constant = self.builder.weight
        end, axis = constant("int64_max", np.array([2**63 - 1])), constant("axis_1", np.array([1]))
        return self.builder.node("Slice", [x, _KEPT_FROM, end, axis], name)

    def _weight(self, name: str) -> str:
        return self.builder.weight_of(name, self.weights.tensor)
