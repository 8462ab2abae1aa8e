"""Checkpoints in forms that are not read here: what was found, and how to convert it."""

from __future__ import annotations

import fnmatch
import os
from itertools import islice
from pathlib import Path

from gpt2_edge.errors import CheckpointError
from gpt2_edge.untrusted import UnreadableError, read_json_object, shown

ADAPTER_FILE = "adapter_config.json"
_MOST_ENTRIES = 10_000  # of a folder, that are looked at

_TRANSFORMERS = "GPT2LMHeadModel.from_pretrained(FOLDER, {}).save_pretrained(NEW)"
_GGUF = (
    "weights for llama.cpp; give the checkpoint that they were made from, or convert them with "
    "transformers: " + _TRANSFORMERS.format('gguf_file="FILE"')
)
_TENSORFLOW = "weights of TensorFlow; convert them with transformers 4: " + _TRANSFORMERS.format(
    "from_tf=True"
)
_FLAX = "weights of Flax; convert them with transformers 4: " + _TRANSFORMERS.format(
    "from_flax=True"
)
_OPENAI = (
    "a TensorFlow checkpoint in OpenAI's form; convert it with "
    "`python -m transformers.models.gpt2.convert_gpt2_original_tf_checkpoint_to_pytorch` "
    "(transformers 4)"
)
_DEEPSPEED = "a DeepSpeed checkpoint; run `python zero_to_fp32.py . NEW` in it, which merges it"
_NANOGPT = "a file of torch; if it is nanoGPT's, give the file itself"
_VARIANT = "weights under another name; rename them to {}"
_READ = ("model.safetensors", "pytorch_model.bin")
# Pattern of a name -> what it is, the surest first.
_FOUND = (
    (ADAPTER_FILE, "an adapter's"),
    ("adapter_model.*", "an adapter's weights, of which adapter_config.json is missing"),
    ("manifest.json", "a manifest; if it is a package, it is exported already"),
    ("*.gguf", _GGUF),
    ("tf_model*.h5", _TENSORFLOW),
    ("flax_model*.msgpack", _FLAX),
    ("model.ckpt*.index", _OPENAI),
    ("model-*.index", _OPENAI),
    ("zero_to_fp32.py", _DEEPSPEED),
    ("global_step*", _DEEPSPEED),
    ("*.distcp", "a checkpoint of torch.distributed; convert it with its format_utils"),
    ("rust_model.ot", "weights of rust-bert; give the checkpoint that they were made from"),
    ("*.onnx", "an ONNX graph; give the checkpoint that it was made from"),
    ("*-of-*.safetensors", "a shard, whose model.safetensors.index.json is missing"),
    ("*-of-*.bin", "a shard, whose pytorch_model.bin.index.json is missing"),
    ("model.*.safetensors", _VARIANT.format("model.safetensors")),
    ("*.safetensors", _VARIANT.format("model.safetensors")),
    ("pytorch_model.*.bin", _VARIANT.format("pytorch_model.bin")),
    ("*.pt", _NANOGPT),
    ("*.pth", _NANOGPT),
    ("*.ckpt", "a file of PyTorch Lightning; save its model with save_pretrained"),
    ("checkpoint-*", "a folder of the Trainer; give that one"),
)
_FILES = {
    ".safetensors": "is a file; give the folder that holds it and config.json",
    ".bin": "is a file; give the folder that holds it and config.json",
    ".json": "is a file; give the folder that holds it",
    ".gguf": f"has {_GGUF}",
    ".h5": f"has {_TENSORFLOW}",
    ".msgpack": f"has {_FLAX}",
    ".onnx": "is an ONNX graph; give the checkpoint that it was made from",
}


def other_weights(folder: Path) -> str:
    """What `folder` holds instead of weights that are read here, for the end of a message."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in islice(entries, _MOST_ENTRIES))
    except OSError as error:
        return f" ({error.strerror})"
    names = [name for name in names if name not in _READ]
    for pattern, what in _FOUND:
        found = fnmatch.filter(names, pattern)
        if found:
            return f"; it holds {shown(found[0])}: {what}"
    return ""


def other_file(path: Path) -> str:
    """Why the file `path`, no .pt, is not taken, for the end of a message."""
    return _FILES.get(
        path.suffix.lower(),
        "is a file; give the folder that holds config.json, or a nanoGPT .pt file",
    )


def refuse_adapter(folder: Path) -> None:
    """CheckpointError where `folder` is an adapter of PEFT: LoRA and its relatives."""
    path = folder / ADAPTER_FILE
    if not os.path.lexists(path):
        return
    try:
        config = read_json_object(path)
    except (FileNotFoundError, UnreadableError):
        config = {}
    base, kind = config.get("base_model_name_or_path"), config.get("peft_type")
    raise CheckpointError(
        f"{folder} is an adapter ({ADAPTER_FILE}{f', {shown(kind)}' if kind else ''}) of the model "
        f"{shown(base) if base else 'that it was trained on'}, not a whole model; {MERGE}. If it "
        f"is merged already, remove {ADAPTER_FILE}"
    )


MERGE = (
    "merge it with peft (AutoPeftModelForCausalLM.from_pretrained(FOLDER).merge_and_unload()) and "
    "export what save_pretrained writes then"
)
