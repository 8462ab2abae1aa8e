"""genai_config.json, with which onnxruntime-genai loads the same package."""

from __future__ import annotations

from typing import Any

from gpt2_edge.config import GenerationConfig
from gpt2_edge.files.manifest import Manifest


def genai_config(manifest: Manifest, settings: GenerationConfig) -> dict[str, Any]:
    """The configuration of a decoder with this package's inputs, outputs and default settings.

    Its model type is the generic "decoder": onnxruntime-genai's own "gpt2" wants key and value
    stacked in one tensor. settings: the package's. There is no max_new_tokens: max_length counts
    the prompt, too, so it is the context.
    """
    architecture, graph, eos_token_ids = (
        manifest.architecture,
        manifest.graph,
        manifest.eos_token_ids,
    )
    eos: int | list[int] = list(eos_token_ids)
    if len(eos_token_ids) <= 1:
        eos = eos_token_ids[0] if eos_token_ids else architecture.vocab_size - 1
    first_eos = eos if isinstance(eos, int) else eos[0]
    bos_token_id = manifest.bos_token_id
    effective = GenerationConfig().resolved(settings)
    names = graph.names
    return {
        "model": {
            "type": "decoder",
            "bos_token_id": first_eos if bos_token_id is None else bos_token_id,
            "eos_token_id": eos,
            "pad_token_id": first_eos,
            "context_length": architecture.context_length,
            "vocab_size": architecture.vocab_size,
            "decoder": {
                "session_options": {
                    "log_id": "onnxruntime-genai",
                    "provider_options": [],
                    # 8-bit weights stay exact on processors that would overflow (int8_overflow).
                    "session.x64quantprecision": "1",
                },
                "filename": graph.file,
                "head_size": architecture.head_size,
                "hidden_size": architecture.hidden_size,
                "num_attention_heads": architecture.num_heads,
                "num_key_value_heads": architecture.num_heads,
                "num_hidden_layers": architecture.num_layers,
                "inputs": {
                    "input_ids": names.input_ids,
                    "attention_mask": names.attention_mask,
                    "position_ids": names.position_ids,
                    "past_key_names": names.past_key.format(i="%d"),
                    "past_value_names": names.past_value.format(i="%d"),
                },
                "outputs": {
                    "logits": names.logits,
                    "present_key_names": names.present_key.format(i="%d"),
                    "present_value_names": names.present_value.format(i="%d"),
                },
            },
        },
        "search": {
            # Of top_p 0 it would draw from nothing; here that is the most likely token.
            "do_sample": effective.samples and effective.top_p > 0,
            "temperature": effective.temperature or 1.0,
            "top_k": effective.top_k,
            "top_p": effective.top_p or 1.0,
            "repetition_penalty": effective.repetition_penalty,
            "max_length": architecture.context_length,
            "num_beams": 1,
            "past_present_share_buffer": graph.cache == "shared",
        },
    }
