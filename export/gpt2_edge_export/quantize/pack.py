"""Block-wise integers in the layout of com.microsoft.MatMulNBits.

A matrix [N, K] is cut along K into blocks of `block_size`; each block has one scale, and a value
is (q - zero_point) * scale with the operator's default zero point 2^(bits-1). 4-bit values lie two
to a byte, the even one in the low half (operator specification of MatMulNBits).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpt2_edge.errors import ExportError

# Rows of this many float32 values are quantized at a time, so that the temporaries of a
# 50,257 x 1,600 table stay small beside the table itself.
_VALUES_AT_ONCE = 4 << 20


@dataclass(frozen=True)
class Range:
    """What 8 bits of an activation stand for: value = (integer - zero_point) * scale."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class QuantizedMatrix:
    """packed: uint8 [N, blocks, block_size * bits / 8]; scales: float16 [N, blocks]."""

    packed: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float16]
    bits: int
    block_size: int
    columns: int  # K before it was padded to whole blocks

    @property
    def nbytes(self) -> int:
        return self.packed.nbytes + self.scales.nbytes


def quantize_round_to_nearest(
    weight: npt.NDArray[np.floating], bits: int, block_size: int | None
) -> QuantizedMatrix:
    """Quantize `weight` [N, K] to `bits` (4 or 8), each value to the nearest step of its block.

    The block's value of largest magnitude maps to the lowest integer, -2^(bits-1), with the sign
    carried by the scale: that uses the whole range, one step more than a symmetric one.
    block_size None: one block, whatever K is. Raises ExportError for values that no float16 scale
    reaches.
    """
    check_format(bits, block_size)
    rows, columns = weight.shape
    block_size = block_size or columns
    blocks = -(-columns // block_size)
    packed = np.empty((rows, blocks, block_size * bits // 8), np.uint8)
    scales = np.empty((rows, blocks), np.float16)
    step = max(1, _VALUES_AT_ONCE // max(columns, 1))
    for start in range(0, rows, step):
        part = np.asarray(weight[start : start + step], np.float32)
        part = np.pad(part, ((0, 0), (0, blocks * block_size - columns)))
        part = part.reshape(len(part), blocks, block_size)
        part_scales = block_scales(part, bits)
        scales[start : start + step] = part_scales
        packed[start : start + step] = pack(_round(part, part_scales, bits), bits)
    return QuantizedMatrix(packed, scales, bits, block_size, columns)


def check_format(bits: int, block_size: int | None) -> None:
    """Raise ValueError for a format that the operators do not take."""
    if bits not in (4, 8):
        raise ValueError(f"bits must be 4 or 8, not {bits}")
    if block_size is None:
        if bits != 8:
            raise ValueError("one scale per row goes with 8 bits")
    elif block_size < 16 or block_size & (block_size - 1):
        raise ValueError(f"block_size must be a power of two of at least 16, not {block_size}")


def dequantize(matrix: QuantizedMatrix) -> npt.NDArray[np.float32]:
    """The float32 values [N, K] that the operator computes with."""
    values = unpack(matrix.packed, matrix.bits).astype(np.float32)
    values -= 2 ** (matrix.bits - 1)
    values *= matrix.scales.astype(np.float32)[..., None]
    return values.reshape(len(values), -1)[:, : matrix.columns]


def unpack(packed: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """The integers [N, blocks, block_size] out of packed bytes."""
    if bits == 8:
        return packed
    return np.stack([packed & 0xF, packed >> 4], axis=-1).reshape(*packed.shape[:-1], -1)


def pack(values: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Integers 0 to 2^bits - 1 [..., block_size] as packed bytes."""
    if bits == 8:
        return values
    packed: npt.NDArray[np.uint8] = values[..., ::2] | np.left_shift(values[..., 1::2], np.uint8(4))
    return packed


def block_scales(part: npt.NDArray[np.float32], bits: int) -> npt.NDArray[np.float16]:
    """Signed scales [...] of blocks [..., block_size]: the extreme value maps to -2^(bits-1)."""
    largest = part.max(axis=-1)
    smallest = part.min(axis=-1)
    extreme = np.where(largest > -smallest, largest, smallest)
    exact = extreme / -(2 ** (bits - 1))
    if np.abs(exact).max(initial=0) > float(np.finfo(np.float16).max):
        raise ExportError(
            f"weights up to {np.abs(extreme).max():.3g} are too large for {bits} bits with float16 "
            "scales; the checkpoint is damaged, or export it as fp32"
        )
    scales: npt.NDArray[np.float16] = exact.astype(np.float16)
    return scales


def _round(
    part: npt.NDArray[np.float32], scales: npt.NDArray[np.float16], bits: int
) -> npt.NDArray[np.uint8]:
    # Rounding uses the float16 scale that is stored, not the exact one. Blocks whose scale is
    # zero (all zeros, or below float16) become zeros.
    wide = scales.astype(np.float32)
    inverse = np.divide(1, wide, out=np.zeros_like(wide), where=wide != 0)
    zero_point = 2 ** (bits - 1)
    quantized = np.rint(part * inverse[..., None]) + zero_point
    integers: npt.NDArray[np.uint8] = np.clip(quantized, 0, 2**bits - 1).astype(np.uint8)
    return integers
