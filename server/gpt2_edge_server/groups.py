"""What a package's weights are, by part of the model: numbers, bytes and bits."""

from __future__ import annotations

import math
import re
from typing import Any

from gpt2_edge.files.manifest import Architecture
from gpt2_edge.files.onnx_file import OnnxFile, read_onnx
from gpt2_edge.files.package_folder import Package
from gpt2_edge.files.protobuf import OnnxFileError

# Which part of the model a tensor is of, by its name.
_PARTS = (
    ("embeddings", re.compile(r"(^|\.)w[tp]e\.")),
    ("attention", re.compile(r"\.attn\.")),
    ("feed-forward", re.compile(r"\.mlp\.")),
    ("head", re.compile(r"(^|\.)lm_head\.")),
)


def groups_of(package: Package) -> list[dict[str, Any]]:
    """Each part with its parameters (of the model), bytes (in the file) and mean bits a parameter.

    Empty where the graph names its weights otherwise, as other tools' graphs do.
    """
    try:
        with (package.folder / package.manifest.graph.file).open("rb") as file:
            found = read_onnx(file)
    except (OSError, OnnxFileError):
        return []
    stored = _bytes(found)
    if not all(stored.get(name) for name in ("embeddings", "attention", "feed-forward")):
        return []
    parameters = parameters_of(package.manifest.architecture)
    groups = []
    for name in (*(name for name, _ in _PARTS), "other"):
        count, size = parameters.get(name, 0), stored.get(name, 0)
        if size:
            bits = round(8 * size / count, 2) if count else None
            groups.append({"name": name, "parameters": count, "bytes": size, "bits": bits})
    return groups


def _bytes(found: OnnxFile) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for table, shape in found.tables.items():
        name = next((name for name, pattern in _PARTS if pattern.search(table)), "other")
        numbers = math.prod(size for size in shape if isinstance(size, int))
        sizes[name] = sizes.get(name, 0) + (numbers * found.table_bits[table] + 7) // 8
    return sizes


def parameters_of(architecture: Architecture) -> dict[str, int]:
    """GPT-2's own counts; its head is the token embeddings again."""
    width, layers = architecture.hidden_size, architecture.num_layers
    return {
        "embeddings": (architecture.vocab_size + architecture.context_length) * width,
        "attention": layers * (4 * width * width + 4 * width),
        "feed-forward": layers * (8 * width * width + 5 * width),
        "other": (2 * layers + 1) * 2 * width,  # the norms
    }
