"""generation_config.json: how transformers would generate with the checkpoint, by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt2_edge.config import GENERATION_CONFIG_FILE, PACKAGE_SETTINGS, GenerationConfig
from gpt2_edge.errors import CheckpointError, GenerationError
from gpt2_edge.requests import check_tokens
from gpt2_edge.untrusted import UnreadableError, read_json_object
from gpt2_edge_export.checkpoint.checkpoint import Checkpoint
from gpt2_edge_export.tokenizer.special_tokens import SpecialTokens, special_tokens

# Settings of transformers 4.46 to 5 that change what is written and that no runtime of ours reads
# from the file, with the values at which they do nothing (null never does).
_NOT_USED: dict[str, tuple[object, ...]] = {
    "max_length": (20,),
    "min_length": (0,),
    "early_stopping": (False,),
    "stop_strings": (),
    "num_beams": (1,),
    "num_beam_groups": (1,),
    "penalty_alpha": (0,),
    "dola_layers": (),
    "top_h": (1,),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "diversity_penalty": (0,),
    "encoder_repetition_penalty": (1,),
    "length_penalty": (1,),
    "encoder_no_repeat_ngram_size": (0,),
    "force_words_ids": (),
    "renormalize_logits": (False,),
    "constraints": (),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "remove_invalid_values": (False,),
    "exponential_decay_length_penalty": (),
    "forced_decoder_ids": (),
    "token_healing": (False,),
    "guidance_scale": (1,),
    "watermarking_config": (),
    "num_return_sequences": (1,),
    "cache_implementation": (
        "dynamic",
        "dynamic_full",
        "offloaded",
        "static",
        "offloaded_static",
        "sliding_window",
        "hybrid",
        "hybrid_chunked",
        "offloaded_hybrid",
        "offloaded_hybrid_chunked",
    ),
}
# Of these, the ones that do nothing without beams.
_OF_BEAMS = ("early_stopping", "length_penalty", "diversity_penalty")
# Settings that transformers' configurations have themselves, with their defaults there
# (_get_global_generation_defaults of 4.57): another value in config.json makes transformers go by
# config.json alone where generation_config.json was made from one (_from_model_config).
_IN_CONFIG: dict[str, object] = {
    "max_length": 20,
    "min_length": 0,
    "do_sample": False,
    "early_stopping": False,
    "num_beams": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "num_return_sequences": 1,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "remove_invalid_values": False,
    "exponential_decay_length_penalty": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "output_scores": False,
    "return_dict_in_generate": False,
}


@dataclass(frozen=True)
class GenerationFile:
    """What generation_config.json of the package holds.

    settings: those that our runtimes use. notes: on what the user has to know.
    """

    content: dict[str, Any]
    settings: GenerationConfig
    special: SpecialTokens
    notes: tuple[str, ...]


def read_generation_file(checkpoint: Checkpoint) -> GenerationFile:
    """The checkpoint's generation_config.json.

    Without one, or where config.json has changed since it was made from it, settings in config.json
    count, as they do in transformers. Raises CheckpointError, naming file and key, for what cannot
    be read, and for settings that no GenerationConfig takes.
    """
    path = checkpoint.folder / GENERATION_CONFIG_FILE
    config_path = checkpoint.folder / "config.json"
    config = checkpoint.raw_config
    vocab_size = checkpoint.config.vocab_size
    sources = [(str(config_path), config)]
    content = _read(path) if path.exists() or path.is_symlink() else None
    if content is not None and not (content.get("_from_model_config") and _says_more(config)):
        special = special_tokens([(str(path), content), *sources], vocab_size)
    else:
        path = config_path
        special = special_tokens(sources, vocab_size)
        known = [*PACKAGE_SETTINGS, *_not_used(config)]
        content = {"bos_token_id": special.bos, "eos_token_id": _one_or_all(special.eos)} | {
            key: config[key] for key in known if config.get(key) is not None
        }
    try:
        settings = GenerationConfig.from_json(content)
        check_tokens(settings.resolved(), vocab_size)
    except GenerationError as error:
        raise CheckpointError(f"{path}: {error}") from error
    notes = [special.note] if special.note else []
    if unused := _not_used(content):
        notes.append(
            f"{path} sets {', '.join(unused)}, which gpt2-edge does not use: texts will differ "
            "from transformers'"
        )
    return GenerationFile(content, settings, special, tuple(notes))


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is a link to nothing; remove it, or mend it") from error
    except UnreadableError as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON ({error}); mend it, or remove it for the defaults"
        ) from error


def _says_more(config: Mapping[str, Any]) -> bool:
    """Whether a config.json has settings of its own."""
    return any(
        config.get(key) is not None and config[key] != usual for key, usual in _IN_CONFIG.items()
    )


def _not_used(content: Mapping[str, Any]) -> list[str]:
    """The settings in `content` that change the text and are not used, in its order."""
    inert = () if content.get("num_beams") not in (None, 1) else _OF_BEAMS
    if content.get("max_new_tokens") is not None:  # it wins
        inert = (*inert, "max_length")
    return [
        key
        for key, value in content.items()
        if key in _NOT_USED
        and key not in inert
        and value is not None
        and value not in _NOT_USED[key]
        and value not in ([], {})
    ]


def _one_or_all(ids: tuple[int, ...]) -> int | list[int] | None:
    return list(ids) if len(ids) > 1 else ids[0] if ids else None
