"""Which format each matrix takes: bits by the recipe's name, blocks that divide the width."""

from __future__ import annotations

import pytest

from gpt2_edge.errors import ExportError
from gpt2_edge_export.quantize import MatrixFormat, make_recipe
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
    assert recipe.linear_format(width) == MatrixFormat(bits, expected)
    assert recipe.table_format(width) == MatrixFormat(bits, expected)


@pytest.mark.parametrize(("name", "expected"), [("int8", 32), ("int4", 128)])
def test_default_block(name: str, expected: int) -> None:
    assert make_recipe(name).linear_format(768).block_size == expected
    assert make_recipe(name).table_format(768).block_size == expected


def test_fp32_has_no_blocks() -> None:
    recipe = make_recipe("fp32")
    assert recipe.linear_format(768) == recipe.table_format(768) == MatrixFormat(32, None)
    assert recipe.describe(768, 768, 3072)["mlp.c_fc"] == {"bits": 32}


def test_description_follows_each_matrix_own_input() -> None:
    described = make_recipe("int4", 128).describe(1600, 1600, 6400)
    assert described["name"] == "int4"
    assert described["attn.c_attn"] == {"bits": 4, "block_size": 64}
    assert described["mlp.c_fc"] == {"bits": 4, "block_size": 64}
    assert described["mlp.c_proj"] == {"bits": 4, "block_size": 128}
    assert described["embedding_and_head"] == {"bits": 4, "block_size": 64}


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
    ],
)
def test_what_the_operators_lack_is_refused(name: str, block_size: int | None, part: str) -> None:
    with pytest.raises(ExportError) as caught:
        make_recipe(name, block_size)
    assert_one_line(caught.value, part)
