"""Which format each group of weights takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpt2_edge.errors import ExportError

RECIPES = ("fp32", "int8", "int4")
BLOCK_SIZES = (16, 32, 64, 128, 256)
# In 4 bits, blocks of 128 decode a quarter faster than blocks of 32 at 124M; in 8 bits the larger
# block gains less than it costs (docs/ARCHITECTURE.md has the figures).
DEFAULT_BLOCK_SIZE = {8: 32, 4: 128}


@dataclass(frozen=True)
class MatrixFormat:
    """How one matrix is stored: bits 32 (float), 8 or 4, in blocks along its input."""

    bits: int
    block_size: int | None = None

    def describe(self) -> dict[str, int]:
        """The format as manifest.json states it."""
        return {"bits": self.bits} | ({"block_size": self.block_size} if self.block_size else {})


@dataclass(frozen=True)
class Recipe:
    """Bits of the table that embedding and head share, and of the linear layers' matrices."""

    name: str
    table_bits: int
    linear_bits: int
    block_size: int | None = None  # the largest block to use; None where nothing is quantized

    def table_format(self, width: int) -> MatrixFormat:
        """Format of a table [vocab, width]."""
        return self._fit(self.table_bits, width)

    def linear_format(self, width: int) -> MatrixFormat:
        """Format of a matrix whose input has `width` features."""
        return self._fit(self.linear_bits, width)

    def describe(self, n_embd: int, attention_width: int, n_inner: int) -> dict[str, Any]:
        """The recipe as manifest.json states it: a format for each group of matrices.

        `attention_width` is the number of heads times the head size in the cache.
        """
        return {
            "name": self.name,
            "embedding_and_head": self.table_format(n_embd).describe(),
            "attn.c_attn": self.linear_format(n_embd).describe(),
            "attn.c_proj": self.linear_format(attention_width).describe(),
            "mlp.c_fc": self.linear_format(n_embd).describe(),
            "mlp.c_proj": self.linear_format(n_inner).describe(),
        }

    def _fit(self, bits: int, width: int) -> MatrixFormat:
        if bits == 32 or self.block_size is None:
            return MatrixFormat(32)
        # The largest block that divides the width, so that none is padded: 240 gets 16. Where
        # none does, the last block of the smallest size is padded with zeros.
        fitting = [size for size in BLOCK_SIZES if size <= self.block_size and width % size == 0]
        return MatrixFormat(bits, max(fitting, default=BLOCK_SIZES[0]))


def make_recipe(name: str, block_size: int | None = None) -> Recipe:
    """The recipe `name` (one of RECIPES) with blocks of at most `block_size` values.

    Raises ExportError for an unknown name or a block size that the operators do not take.
    """
    if name not in RECIPES:
        raise ExportError(f"recipe {name!r} is not one of {', '.join(RECIPES)}")
    if name == "fp32":
        if block_size is not None:
            raise ExportError("a block size goes with int8 or int4; fp32 has no blocks")
        return Recipe(name, 32, 32)
    bits = int(name.removeprefix("int"))
    if block_size is not None and block_size not in BLOCK_SIZES:
        sizes = ", ".join(map(str, BLOCK_SIZES))
        raise ExportError(f"block size {block_size} is not one of {sizes}")
    return Recipe(name, bits, bits, block_size or DEFAULT_BLOCK_SIZE[bits])
