"""Checkpoints by their name on the Hugging Face hub, cached by huggingface_hub."""

from __future__ import annotations

import importlib
from pathlib import Path

from gpt2_edge.errors import CheckpointError, MissingDependencyError
from gpt2_edge_export.readers import first_line

_TOKENIZER_FILES = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
]
_OTHER_FILES = ["config.json", "generation_config.json", "LICENSE*"]


def download(name: str) -> Path:
    """The local folder of the hub repository `name`, downloaded if it is not cached yet.

    Takes safetensors where the repository has them and torch's files otherwise. Raises
    CheckpointError in one line if `name` is neither cached nor to be had.
    """
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} is no folder here; to take it from the hub, pip install 'gpt2-edge[export]'"
        ) from error
    files = [*_OTHER_FILES, *_TOKENIZER_FILES]
    try:
        folder = Path(hub.snapshot_download(name, allow_patterns=[*files, "model*.safetensors*"]))
        if not list(folder.glob("model*.safetensors")):
            hub.snapshot_download(name, allow_patterns=["pytorch_model*.bin*"])
    except Exception as error:  # the client raises its own, its HTTP library's and OS errors
        reason = first_line(error)
        raise CheckpointError(
            f"{name}: no such folder, and it could not be taken from the Hugging Face hub or its "
            f"cache ({reason}); check the name and the network, or give a folder"
        ) from error
    return folder
