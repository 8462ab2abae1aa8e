"""genai_config.json, with which onnxruntime-genai loads the same package."""

from __future__ import annotations

from typing import Any

from gpt2_edge.manifest import Architecture, Graph


def genai_config(
    architecture: Architecture,
    graph: Graph,
    bos_token_id: int | None,
    eos_token_ids: tuple[int, ...],
) -> dict[str, Any]:
    """The configuration of a decoder with this package's inputs and outputs.

    Its model type is the generic "decoder": onnxruntime-genai's own "gpt2" wants key and value
    stacked in one tensor.
    """
    eos: int | list[int] = list(eos_token_ids)
    if len(eos_token_ids) <= 1:
        eos = eos_token_ids[0] if eos_token_ids else architecture.vocab_size - 1
    first_eos = eos if isinstance(eos, int) else eos[0]
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
            "do_sample": False,
            "max_length": architecture.context_length,
            "num_beams": 1,
            "past_present_share_buffer": graph.cache == "shared",
        },
    }
