"""Which format each matrix takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpt2_edge.errors import ExportError
from gpt2_edge.untrusted import shown

RECIPES = ("fp32", "fp16", "int8", "int8-row", "int4", "int4-small")
COLUMNS = 16  # matrices by row are filled up to a multiple of them (graph/whole_columns.py)
BLOCK_SIZES = (16, 32, 64, 128, 256)
MATRICES = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


@dataclass(frozen=True)
class MatrixFormat:
    """How one matrix is stored.

    bits: 32 or 16 (floats), 8 or 4. block_size: values along the input that share a scale; None
    for floats, and for 8-bit matrices with one scale per output, whose activations are rounded to
    8 bits row by row for integer matrix units.
    """

    bits: int
    block_size: int | None = None

    @property
    def quantized(self) -> bool:
        return self.bits < 16

    @property
    def by_row(self) -> bool:
        """Whether it is multiplied as a whole row of integers."""
        return self.quantized and self.block_size is None

    def divides(self, width: int) -> bool:
        """Whether `width` inputs fill whole blocks."""
        return self.block_size is None or width % self.block_size == 0

    def bytes(self, n_out: int, n_in: int) -> int:
        """Size of a matrix in the file, its float16 scales included."""
        if not self.quantized:
            return n_out * n_in * self.bits // 8
        block = self.block_size or n_in
        n_out += -n_out % COLUMNS if self.by_row else 0
        blocks = -(-n_in // block)
        return n_out * blocks * (block * self.bits // 8 + 2)

    def describe(self) -> dict[str, int]:
        """The format as manifest.json states it."""
        return {"bits": self.bits} | ({"block_size": self.block_size} if self.block_size else {})

    def fitted(self, width: int) -> MatrixFormat:
        """With the largest block up to block_size that divides `width`, so that none is padded.

        240 gets 16. Where none does, the last block of the smallest size is padded with zeros.
        """
        if self.block_size is None:
            return self
        fitting = [size for size in BLOCK_SIZES if size <= self.block_size and width % size == 0]
        return MatrixFormat(self.bits, max(fitting, default=BLOCK_SIZES[0]))


@dataclass(frozen=True)
class Recipe:
    """Formats of the table that embedding and head share, and of the linear layers' matrices.

    `special` overrides `linear` for some of them, by tensor name or by kind (one of MATRICES).
    """

    name: str
    table: MatrixFormat
    linear: MatrixFormat
    special: Mapping[str, MatrixFormat] = field(default_factory=dict)

    @property
    def quantized(self) -> bool:
        return any(form.quantized for form in (self.table, self.linear, *self.special.values()))

    def format(self, name: str, width: int) -> MatrixFormat:
        """Format of the tensor `name`, whose matrix has `width` inputs."""
        if not name.startswith("h."):
            return self.table.fitted(width)
        kind = name.split(".", 2)[2].removesuffix(".weight")
        form = self.special.get(name) or self.special.get(kind) or self.linear
        return form.fitted(width)

    def describe(self, n_layer: int, width: Callable[[str], int]) -> dict[str, Any]:
        """The recipe as manifest.json states it: a format for each group of matrices.

        width: inputs of a matrix, by tensor name. A group whose layers differ is stated layer by
        layer.
        """
        described: dict[str, Any] = {"name": self.name}
        described |= dict(self._groups(n_layer, width))
        return described

    def _groups(
        self, n_layer: int, width: Callable[[str], int]
    ) -> Iterator[tuple[str, dict[str, int]]]:
        yield "embedding_and_head", self.format("wte.weight", width("wte.weight")).describe()
        for matrix in MATRICES:
            names = [f"h.{layer}.{matrix}" for layer in range(n_layer)]
            forms = [
                self.format(f"{name}.weight", width(f"{name}.weight")).describe() for name in names
            ]
            if all(form == forms[0] for form in forms):
                yield matrix, forms[0]
            else:
                yield from zip(names, forms, strict=True)


def make_recipe(name: str, block_size: int | None = None) -> Recipe:
    """The recipe `name` (one of RECIPES), in blocks of at most `block_size` values if given.

    Raises ExportError for an unknown name or a block size that the operators do not take.
    """
    if name not in RECIPES:
        raise ExportError(f"recipe {shown(name)} is not one of {', '.join(RECIPES)}")
    if name.startswith("fp"):
        if block_size is not None:
            raise ExportError(f"a block size goes with int8 or int4; {name} has no blocks")
        form = MatrixFormat(int(name.removeprefix("fp")))
        return Recipe(name, form, form)
    if block_size is None:
        return _DEFAULTS[name]
    if name == "int8-row":
        raise ExportError("int8-row has one scale per output; a block size goes with int8 or int4")
    if block_size not in BLOCK_SIZES:
        sizes = ", ".join(map(str, BLOCK_SIZES))
        raise ExportError(f"block size {block_size} is not one of {sizes}")
    default = _DEFAULTS[name]
    table, linear = (
        MatrixFormat(form.bits, block_size) for form in (default.table, default.linear)
    )
    return Recipe(name, table, linear)


# What docs/QUANTIZATION.md decides, and why.
_BY_BLOCK, _BY_ROW = MatrixFormat(8, 32), MatrixFormat(8)
_DEFAULTS = {
    recipe.name: recipe
    for recipe in (
        Recipe("int8", _BY_BLOCK, _BY_ROW, {"attn.c_attn": MatrixFormat(8, 16)}),
        Recipe("int8-row", _BY_BLOCK, _BY_ROW),
        Recipe(
            "int4",
            MatrixFormat(8, 128),
            MatrixFormat(4, 128),
            {"attn.c_attn": MatrixFormat(4, 32)},
        ),
        Recipe("int4-small", MatrixFormat(4, 32), MatrixFormat(4, 64)),
    )
}
