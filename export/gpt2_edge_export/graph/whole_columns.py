"""Columns that fill up 8-bit matrices, for kernels that compute an odd rest of them wrong.

ONNX Runtime before 1.25 gets the columns behind the last multiple of 16 wrong where a processor has
AMX and 32 rows or more are multiplied (its pull request 27671). GPT-2's own widths are multiples of
64; its vocabulary of 50,257 is not, and the column concerned is the end-of-text token's.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gpt2_edge_export.graph.onnx_builder import OnnxBuilder
from gpt2_edge_export.quantize.recipe import COLUMNS

Number = TypeVar("Number", bound=np.generic)


def filled(array: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """`array` [..., columns] with zeros behind it, up to a multiple of 16 columns."""
    more = -array.shape[-1] % COLUMNS
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, more)])


def only(builder: OnnxBuilder, product: str, columns: int) -> str:
    """The first `columns` columns of `product`, whose matrix was `filled`."""
    if columns % COLUMNS == 0:
        return product
    bounds = {"first_column": 0, f"columns_{columns}": columns, "last_axis": -1}
    names = [builder.weight(name, np.array([value])) for name, value in bounds.items()]
    return builder.node("Slice", [product, *names], f"{product}.only")
