"""Write a GPT-2 checkpoint as llama.cpp's GGUF, matrices in Q4_0 and the embeddings in Q8_0.

python benchmarks/gguf_model.py .bench/random-124M .bench/tokenizer.json .bench/124M.gguf

With --f32 all of it is in float32, for llama-quantize to start from. It needs gguf and safetensors
of PyPI. Names and metadata are those of llama.cpp's convert_hf_to_gguf.py, which needs torch.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from safetensors.numpy import load_file

_NAMES = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
_OTHERS = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}


def main() -> None:
    """Read, quantize, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("tokenizer", type=Path, help="tokenizer.json, a byte-level BPE")
    parser.add_argument("target", type=Path)
    parser.add_argument("--f32", action="store_true", help="everything in float32")
    arguments = parser.parse_args()
    config = json.loads((arguments.checkpoint / "config.json").read_text("utf-8"))
    writer = gguf.GGUFWriter(arguments.target, "gpt2")
    writer.add_block_count(config["n_layer"])
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(4 * config["n_embd"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    kind = gguf.LlamaFileType.ALL_F32 if arguments.f32 else gguf.LlamaFileType.MOSTLY_Q4_0
    writer.add_file_type(kind)
    tokenizer = json.loads(arguments.tokenizer.read_text("utf-8"))
    add_tokenizer(writer, tokenizer, config["eos_token_id"])
    for name, tensor in load_file(arguments.checkpoint / "model.safetensors").items():
        add_tensor(writer, name.removeprefix("transformer."), tensor, arguments.f32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: dict[str, Any], end: int) -> None:
    """A byte-level BPE whose only special token is `end`."""
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary |= {added["content"]: added["id"] for added in tokenizer["added_tokens"]}
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    kinds = [gguf.TokenType.NORMAL] * len(tokens)
    kinds[end] = gguf.TokenType.CONTROL
    merges = tokenizer["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)


def add_tensor(writer: gguf.GGUFWriter, name: str, tensor: np.ndarray, f32: bool) -> None:
    """One tensor by llama.cpp's name; GPT-2 has its matrices transposed."""
    module, _, part = name.rpartition(".")
    if module in _OTHERS:
        target = _OTHERS[module]
    else:
        _, layer, module = module.split(".", 2)
        target = f"blk.{layer}.{_NAMES[module]}"
    tensor, kind = tensor.astype(np.float32), Kind.F32
    if tensor.ndim == 2 and target not in _OTHERS.values():
        tensor, kind = np.ascontiguousarray(tensor.T), Kind.Q4_0
    elif target == "token_embd":
        kind = Kind.Q8_0
    kind = Kind.F32 if f32 else kind
    data = gguf.quants.quantize(tensor, kind)
    writer.add_tensor(f"{target}.{part}", data, raw_dtype=kind)


if __name__ == "__main__":
    main()
