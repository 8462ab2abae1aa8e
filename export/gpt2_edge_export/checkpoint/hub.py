"""Checkpoints by their name on the Hugging Face hub, cached by huggingface_hub."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from gpt2_edge.errors import CheckpointError, MissingDependencyError, install_hint

_TOKENIZER_FILES = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "encoder.json",
    "vocab.bpe",
    "vocab.txt",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*",
    # Not read, but named where a tokenizer is missing.
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
]
_OTHER_FILES = ["config.json", "generation_config.json", "adapter_config.json", "LICENSE*"]
# Names of the whole weights or of an index. Variants such as model.fp16.safetensors are not meant.
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
_REASONS = {
    "LocalEntryNotFoundError": "it is not in the cache, and the hub cannot be reached",
    "OfflineModeIsEnabled": "it is not in the cache, and HF_HUB_OFFLINE is set",
    "GatedRepoError": "its owner wants you to accept terms on its page, and to log in (HF_TOKEN)",
    "RepositoryNotFoundError": "there is none of this name, or it is private: log in (HF_TOKEN)",
    "HFValidationError": "that is no name of a repository",
}


def download(name: str) -> Path:
    """The local folder of the hub repository `name`, downloaded if it is not cached yet.

    Takes safetensors where the repository has them and torch's files otherwise. Raises
    CheckpointError in one line if `name` is neither cached nor to be had.
    """
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} is no folder here; to take it from the hub, {install_hint('export')}"
        ) from error
    safetensors = ["model.safetensors*", "model-*.safetensors"]
    folder = _snapshot(hub, name, [*_OTHER_FILES, *_TOKENIZER_FILES, *safetensors])
    if not any(os.path.lexists(folder / file) for file in _SAFETENSORS):
        _snapshot(hub, name, ["pytorch_model.bin*", "pytorch_model-*.bin"])
    return folder


def _snapshot(hub: Any, name: str, patterns: list[str]) -> Path:
    try:
        return Path(hub.snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # the client raises its own, its HTTP library's and OS errors
        raise CheckpointError(
            f"{name}: no such folder, and it could not be taken from the Hugging Face hub or its "
            f"cache ({_reason(error)}); check the name and the network, or give a folder"
        ) from error


def _reason(error: Exception) -> str:
    """Why the client failed, in our words; it has some ten errors, in a family each."""
    for kind in type(error).__mro__:
        if kind.__name__ in _REASONS:
            return _REASONS[kind.__name__]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
