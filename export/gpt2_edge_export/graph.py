"""The fused GPT-2 graph, written node by node from the weights.

Every block is eight operators of ONNX Runtime: the packed query-key-value projection,
GroupQueryAttention with as many key as query heads, the output projection,
SkipLayerNormalization, two projections around the activation, and SkipLayerNormalization again,
which already is the next block's first normalization. Shapes in comments: B batch, S tokens of
this step, P tokens in the cache, H hidden size, N heads, D head size.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from gpt2_edge.errors import ExportError
from gpt2_edge.manifest import GraphNames
from gpt2_edge_export.config import ACTIVATIONS, GPT2Config
from gpt2_edge_export.onnx_builder import MICROSOFT, OnnxBuilder
from gpt2_edge_export.quantize import MatrixFormat, Recipe, quantize_round_to_nearest

# GroupQueryAttention refuses head sizes that 8 does not divide; such heads are padded with zeros,
# which changes neither a score nor an output.
_HEAD_SIZE_MULTIPLE = 8
_INT8_COMPUTE = 4  # accuracy_level: activations in int8 blocks; 0 would be 3 to 100 times slower

_KEPT_FROM = "kept_from"  # int64 [1]: where the positions start whose logits are asked for


class Weights(Protocol):
    """Where the graph takes its weights from, one at a time."""

    @property
    def config(self) -> GPT2Config: ...

    def tensor(self, name: str) -> npt.NDArray[np.float32]: ...


NAMES = GraphNames()


def cache_head_size(config: GPT2Config) -> int:
    """Head size in the cache: that of the model, rounded up to what the operator takes."""
    return -(-config.head_size // _HEAD_SIZE_MULTIPLE) * _HEAD_SIZE_MULTIPLE


def build_fused_graph(builder: OnnxBuilder, weights: Weights, recipe: Recipe) -> None:
    """Write the graph of `weights` in the formats of `recipe` into `builder`."""
    _FusedGraph(builder, weights, recipe).build()


class _FusedGraph:
    def __init__(self, builder: OnnxBuilder, weights: Weights, recipe: Recipe) -> None:
        self.builder = builder
        self.weights = weights
        self.config = weights.config
        self.recipe = recipe
        self.head_size = cache_head_size(self.config)

    def build(self) -> None:
        config = self.config
        input_ids, position_ids, cache_lengths = self._inputs()
        tokens = self._embed(input_ids)
        positions = self.builder.node(
            "Gather", [self._weight("wpe.weight"), position_ids], "positions"
        )
        normed, residual = self._add_and_norm(tokens, positions, "h.0.ln_1")
        for layer in range(config.n_layer):
            attended = self._attention(normed, cache_lengths, layer)
            last = layer == config.n_layer - 1
            if last:
                # From here on only the positions whose logits are asked for matter.
                attended = self._keep_last(attended, f"h.{layer}.attn.kept")
                residual = self._keep_last(residual, f"h.{layer}.residual.kept")
            projected = self._linear(attended, f"h.{layer}.attn.c_proj")
            normed, residual = self._add_and_norm(projected, residual, f"h.{layer}.ln_2")
            inner = self._linear(normed, f"h.{layer}.mlp.c_fc")
            inner = self._activation(inner, f"h.{layer}.mlp.act")
            projected = self._linear(inner, f"h.{layer}.mlp.c_proj")
            norm = "ln_f" if last else f"h.{layer + 1}.ln_1"
            normed, residual = self._add_and_norm(projected, residual, norm)
        self._head(normed)

    def _inputs(self) -> tuple[str, str, tuple[str, str]]:
        """Declare all inputs and the cache outputs; the operator's lengths come from the mask."""
        add, config = self.builder.input, self.config
        input_ids = add(NAMES.input_ids, np.int64, ["batch", "seq"])
        mask = add(NAMES.attention_mask, np.int64, ["batch", "total"])
        assert NAMES.position_ids
        assert NAMES.logits_to_keep
        position_ids = add(NAMES.position_ids, np.int64, ["batch", "seq"])
        # Declared as they are by default, one position: onnxruntime-genai reads that and allocates
        # no more. A client that sets logits_to_keep gets as many as it asks for.
        self.builder.output(NAMES.logits, np.float32, ["batch", 1, config.vocab_size])
        for layer in range(config.n_layer):
            heads = (config.n_head, self.head_size)
            for past, present in (
                (NAMES.past_key, NAMES.present_key),
                (NAMES.past_value, NAMES.present_value),
            ):
                add(past.format(i=layer), np.float32, ["batch", heads[0], "past", heads[1]])
                self.builder.output(
                    present.format(i=layer), np.float32, ["batch", heads[0], "present", heads[1]]
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
        form = self.recipe.table_format(config.n_embd)
        if form.bits == 32:
            return self.builder.node("Gather", [self._weight("wte.weight"), input_ids], "tokens")
        packed, scales = self._table("wte.weight", form)
        # The head's MatMulNBits reads [V, blocks, bytes]; the embedding reads the same bytes as
        # rows, so that the table is stored once.
        rows = self.builder.node(
            "Reshape",
            [packed, self.builder.weight("table_shape", np.array([config.vocab_size, -1]))],
            "wte.rows",
        )
        tokens = self.builder.node(
            "GatherBlockQuantized",
            [rows, input_ids, scales],
            "tokens",
            domain=MICROSOFT,
            bits=form.bits,
            block_size=form.block_size,
            gather_axis=0,
            quantize_axis=1,
        )
        if config.n_embd % (form.block_size or 1) == 0:
            return tokens
        constant = self.builder.weight
        return self.builder.node(
            "Slice",
            [
                tokens,
                constant("zero_1d", np.array([0])),
                constant("width_1d", np.array([config.n_embd])),
                constant("axis_2", np.array([2])),
            ],
            "tokens.unpadded",
        )

    def _attention(self, normed: str, cache_lengths: tuple[str, str], layer: int) -> str:
        """Causal attention over cache and step: [B, S, H] -> [B, S, N * D]."""
        packed = self._linear(normed, f"h.{layer}.attn.c_attn")  # [B, S, 3 * N * D]
        attended = f"h.{layer}.attn"
        return self.builder.node(
            "GroupQueryAttention",
            [
                packed,
                "",
                "",
                NAMES.past_key.format(i=layer),
                NAMES.past_value.format(i=layer),
                *cache_lengths,
            ],
            attended,
            outputs=[
                attended,
                NAMES.present_key.format(i=layer),
                NAMES.present_value.format(i=layer),
            ],
            domain=MICROSOFT,
            num_heads=self.config.n_head,
            kv_num_heads=self.config.n_head,
            scale=self.config.attention_scale(layer),
        )

    def _add_and_norm(self, branch: str, residual: str, norm: str) -> tuple[str, str]:
        """LayerNorm(branch + residual), and the sum itself: both [B, S, H]."""
        total = f"{norm}.sum"
        normed = self.builder.node(
            "SkipLayerNormalization",
            [branch, residual, self._weight(f"{norm}.weight"), self._weight(f"{norm}.bias")],
            norm,
            outputs=[norm] if norm == "ln_f" else [norm, "", "", total],
            domain=MICROSOFT,
            epsilon=self.config.layer_norm_epsilon,
        )
        return normed, total

    def _activation(self, x: str, name: str) -> str:
        kind = ACTIVATIONS[self.config.activation_function]
        operators: dict[str, tuple[str, str, dict[str, Any]]] = {
            "gelu_tanh": ("FastGelu", MICROSOFT, {}),
            "gelu_erf": ("Gelu", MICROSOFT, {}),
            "quick_gelu": ("QuickGelu", MICROSOFT, {"alpha": 1.702}),
            "silu": ("QuickGelu", MICROSOFT, {"alpha": 1.0}),
            "relu": ("Relu", "", {}),
            "tanh": ("Tanh", "", {}),
        }
        op_type, domain, attributes = operators[kind]
        return self.builder.node(op_type, [x], name, domain=domain, **attributes)

    def _head(self, normed: str) -> None:
        """Logits of the kept positions: [B, kept, H] -> [B, kept, V]."""
        config = self.config
        table = "wte.weight" if config.tie_word_embeddings else "lm_head.weight"
        form = self.recipe.table_format(config.n_embd)
        if form.bits != 32:
            operands = list(self._table(table, form))
            self._matmul_nbits(
                normed, operands, config.n_embd, config.vocab_size, form, NAMES.logits
            )
            return
        # Gemm multiplies by the transposed table, so that embedding and head share one copy.
        node, constant = self.builder.node, self.builder.weight
        width = constant("hidden_rows", np.array([-1, config.n_embd]))
        rows = node("Reshape", [normed, width], "ln_f.rows")
        logits = node("Gemm", [rows, self._weight(table)], "logits.rows", transB=1)
        shape = node("Shape", [normed], "ln_f.shape", end=2)
        vocab = constant("vocab_1d", np.array([config.vocab_size]))
        shape = node("Concat", [shape, vocab], "logits.shape", axis=0)
        node("Reshape", [logits, shape], NAMES.logits)

    def _linear(self, x: str, name: str) -> str:
        """X [B, S, in] @ weight [in, out] + bias."""
        weight, bias = self._head_padded(name)
        n_in, n_out = weight.shape
        form = self.recipe.linear_format(n_in)
        bias_name = self.builder.weight(f"{name}.bias", bias)
        if form.bits == 32:
            product = self.builder.node(
                "MatMul", [x, self.builder.weight(f"{name}.weight", weight)], f"{name}.product"
            )
            return self.builder.node("Add", [product, bias_name], name)
        packed, scales = self._pack(f"{name}.weight", weight.T, form)
        return self._matmul_nbits(x, [packed, scales, "", "", bias_name], n_in, n_out, form, name)

    def _matmul_nbits(
        self, x: str, operands: list[str], n_in: int, n_out: int, form: MatrixFormat, name: str
    ) -> str:
        return self.builder.node(
            "MatMulNBits",
            [x, *operands],
            name,
            domain=MICROSOFT,
            K=n_in,
            N=n_out,
            bits=form.bits,
            block_size=form.block_size,
            accuracy_level=_INT8_COMPUTE,
        )

    def _head_padded(self, name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Weight and bias of a linear layer, heads padded to the size the cache has."""
        weight = self.weights.tensor(f"{name}.weight")
        bias = self.weights.tensor(f"{name}.bias")
        heads, size, pad = self.config.n_head, self.config.head_size, self.head_size
        if pad == size or ".attn." not in name:
            return weight, bias
        extra = (0, pad - size)
        if name.endswith("c_attn"):  # outputs are [query | key | value] x heads x head size
            split = weight.reshape(-1, 3, heads, size)
            weight = np.pad(split, ((0, 0), (0, 0), (0, 0), extra)).reshape(len(weight), -1)
            bias = np.pad(bias.reshape(3, heads, size), ((0, 0), (0, 0), extra)).reshape(-1)
        else:  # inputs are heads x head size
            rows = weight.reshape(heads, size, -1)
            weight = np.pad(rows, ((0, 0), extra, (0, 0))).reshape(heads * pad, -1)
        return weight, bias

    def _keep_last(self, x: str, name: str) -> str:
        """The last `logits_to_keep` positions of x [B, S, ...]; 0 keeps all."""
        constant = self.builder.weight
        end, axis = constant("int64_max", np.array([2**63 - 1])), constant("axis_1", np.array([1]))
        return self.builder.node("Slice", [x, _KEPT_FROM, end, axis], name)

    def _weight(self, name: str) -> str:
        if self.builder.has_weight(name):
            return name
        return self.builder.weight(name, self.weights.tensor(name))

    def _table(self, name: str, form: MatrixFormat) -> tuple[str, str]:
        """The quantized table `name`, made once however often it is used."""
        packed, scales = f"{name}.q{form.bits}", f"{name}.scales.f32"
        if self.builder.has_weight(packed):
            return packed, scales
        return self._pack(name, self.weights.tensor(name), form)

    def _pack(
        self, name: str, weight: npt.NDArray[np.float32], form: MatrixFormat
    ) -> tuple[str, str]:
        """Names of the packed integers and float32 scales of `weight` [out, in]."""
        assert form.block_size is not None
        try:
            matrix = quantize_round_to_nearest(weight, form.bits, form.block_size)
        except ExportError as error:
            raise ExportError(f"{name}: {error}") from error
        packed = self.builder.weight(f"{name}.q{form.bits}", matrix.packed)
        # float16 in the file halves what the scales cost; ONNX Runtime folds the Cast on loading.
        stored = self.builder.weight(f"{name}.scales", matrix.scales)
        return packed, self.builder.node(
            "Cast", [stored], f"{name}.scales.f32", to=TensorProto.FLOAT
        )
