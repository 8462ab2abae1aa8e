"""Which format each matrix takes: bits by the recipe's name, blocks that divide the width."""

from __future__ import annotations

import pytest

from gpt2_edge.errors import ExportError
from gpt2_edge_export.quantize import MatrixFormat, Recipe, make_recipe
from helpers import assert_one_line


@pytest.mark.parametrize(("name", "bits"), [("int8", 8), ("int4", 4)])
@pytest.mark.parametrize(
    ("largest", "width", "expected"),
    [
        (32, 768, 32),
        (32, 1600, 32),
        (32, 240, 16),
        (32, 100, 16),  # divided by none: the last block is padded
        (32, 48, 16),
        (64, 768, 64),
        (64, 48, 16),
        (128, 768, 128),
        (128, 1600, 64),
        (128, 6400, 128),
        (256, 768, 256),
        (256, 1600, 64),
        (16, 768, 16),
    ],
)
def test_block_divides_the_width(
    name: str, bits: int, largest: int, width: int, expected: int
) -> None:
    recipe = make_recipe(name, largest)
    assert recipe.format("h.0.mlp.c_fc.weight", width) == MatrixFormat(bits, expected)


def test_a_block_size_leaves_the_bits_of_the_table() -> None:
    assert make_recipe("int4", 32).format("wte.weight", 768) == MatrixFormat(8, 32)
    assert make_recipe("int4-small", 32).format("lm_head.weight", 768) == MatrixFormat(4, 32)


@pytest.mark.parametrize(
    ("name", "table", "attention", "mlp"),
    [
        ("int8", MatrixFormat(8, 32), MatrixFormat(8, 16), MatrixFormat(8)),
        ("int8-row", MatrixFormat(8, 32), MatrixFormat(8), MatrixFormat(8)),
        ("int4", MatrixFormat(8, 128), MatrixFormat(4, 32), MatrixFormat(4, 128)),
        ("int4-small", MatrixFormat(4, 32), MatrixFormat(4, 64), MatrixFormat(4, 64)),
        ("fp16", MatrixFormat(16), MatrixFormat(16), MatrixFormat(16)),
        ("fp32", MatrixFormat(32), MatrixFormat(32), MatrixFormat(32)),
    ],
)
def test_defaults(
    name: str, table: MatrixFormat, attention: MatrixFormat, mlp: MatrixFormat
) -> None:
    recipe = make_recipe(name)
    assert recipe.format("wte.weight", 768) == table
    assert recipe.format("h.3.attn.c_attn.weight", 768) == attention
    assert recipe.format("h.3.mlp.c_proj.weight", 3072) == mlp
    assert recipe.quantized == name.startswith("int")


def width(name: str) -> int:
    """Inputs of the matrices of a model of width 1600."""
    return 6400 if name.endswith("mlp.c_proj.weight") else 1600


def test_description_follows_each_matrix_own_input() -> None:
    described = make_recipe("int4", 128).describe(3, width)
    assert described["name"] == "int4"
    assert described["attn.c_attn"] == {"bits": 4, "block_size": 64}
    assert described["mlp.c_fc"] == {"bits": 4, "block_size": 64}
    assert described["mlp.c_proj"] == {"bits": 4, "block_size": 128}
    assert described["embedding_and_head"] == {"bits": 8, "block_size": 64}
    assert make_recipe("fp32").describe(3, width)["mlp.c_fc"] == {"bits": 32}
    assert make_recipe("int8").describe(3, width)["mlp.c_fc"] == {"bits": 8}


def test_layers_that_differ_are_described_one_by_one() -> None:
    special = {"h.1.mlp.c_fc.weight": MatrixFormat(8, 32)}
    recipe = Recipe("mixed", MatrixFormat(8, 32), MatrixFormat(4, 64), special)
    described = recipe.describe(2, width)
    assert described["h.0.mlp.c_fc"] == {"bits": 4, "block_size": 64}
    assert described["h.1.mlp.c_fc"] == {"bits": 8, "block_size": 32}
    assert described["mlp.c_proj"] == {"bits": 4, "block_size": 64}
    assert "mlp.c_fc" not in described


@pytest.mark.parametrize(
    ("form", "n_out", "n_in", "expected"),
    [
        (MatrixFormat(32), 3, 100, 1200),
        (MatrixFormat(16), 3, 100, 600),
        (MatrixFormat(8), 32, 100, 32 * (100 + 2)),
        (MatrixFormat(8), 3, 100, 16 * (100 + 2)),  # filled up with columns of zeros
        (MatrixFormat(8, 32), 3, 96, 3 * (96 + 3 * 2)),
        (MatrixFormat(4, 16), 3, 100, 3 * 7 * (8 + 2)),  # seven blocks, the last one padded
    ],
)
def test_bytes(form: MatrixFormat, n_out: int, n_in: int, expected: int) -> None:
    assert form.bytes(n_out, n_in) == expected


@pytest.mark.parametrize(
    ("name", "block_size", "part"),
    [
        ("int3", None, "int3"),
        ("INT4", None, "INT4"),
        ("int4", 48, "48"),
        ("int4", 8, "8"),
        ("int8", 512, "512"),
        ("int8", -32, "-32"),
        ("int4", 0, "0"),
        ("fp32", 32, "fp32"),
        ("fp16", 32, "fp16"),
        ("int8-row", 32, "int8-row"),
    ],
)
def test_what_the_operators_lack_is_refused(name: str, block_size: int | None, part: str) -> None:
    with pytest.raises(ExportError) as caught:
        make_recipe(name, block_size)
    assert_one_line(caught.value, part)
