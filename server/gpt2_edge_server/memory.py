"""How many rows fit into the memory that they may take."""

from __future__ import annotations

from gpt2_edge.errors import GenerationError
from gpt2_edge.files.manifest import Manifest

_BYTES = {"float32": 4, "float16": 2, "int8": 1}  # of a number in the cache


def row_bytes(manifest: Manifest) -> int:
    """Keys and values of a row that holds a whole context, and the place behind its end."""
    architecture = manifest.architecture
    token = 2 * architecture.num_layers * architecture.num_heads * architecture.head_size
    return token * (architecture.context_length + 1) * _BYTES[manifest.graph.cache_dtype]


def fitting_rows(manifest: Manifest, wanted: int, most_bytes: int | None) -> int:
    """`wanted` rows, or as many as `most_bytes` have room for.

    Several rows come in pairs. Raises GenerationError where not one fits.
    """
    if most_bytes is None:
        return wanted
    each = row_bytes(manifest)
    fitting = most_bytes // each
    if fitting < 1:
        raise GenerationError(
            f"a row takes {each / 1e6:.1f} MB and the cache may take {most_bytes / 1e6:.1f} MB; "
            "raise --max-cache-mb"
        )
    if wanted <= fitting and (wanted == 1 or wanted + wanted % 2 <= fitting):
        return wanted
    return max(1, fitting - fitting % 2)
