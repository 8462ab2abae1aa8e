"""Which of a file's tensors is which of a GPT-2's, whatever was wrapped around the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import islice

from gpt2_edge.errors import CheckpointError
from gpt2_edge.untrusted import shown
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.checkpoint.other_formats import MERGE

HEAD, TABLE = "lm_head.weight", "wte.weight"
# What DistributedDataParallel, torch.compile, FSDP and activation checkpointing put between the
# parts of a name.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_STANDARD = "transformer."  # GPT2LMHeadModel's
_ANCHORS = (TABLE, "wpe.weight", "ln_f.weight", "h.0.ln_1.weight")
_MOST_PREFIXES = 100  # that are looked at to say what is missing
_ADAPTERS = re.compile(r"(^|\.)(base_model\.model|base_layer|lora_\w+|ia3_l)(\.|$)")
_QUANTIZED = re.compile(r"\.(qweight|qzeros|g_idx|SCB|absmax|quant_map|quant_state)(\.|$)")


@dataclass(frozen=True)
class TensorNames:
    """Canonical name -> name in the file, of every weight of a GPT-2.

    prefix: what stands before canonical names in the file, wrappers left out. layers: how many the
    file holds. head: the file's head if it has one. left_over: names of no GPT-2 language model.
    """

    names: dict[str, str]
    prefix: str
    layers: int
    head: str | None
    left_over: tuple[str, ...]

    @property
    def as_transformers_saves(self) -> bool:
        """Whether transformers finds all of them by itself."""
        return all(
            name in (canonical, _STANDARD + canonical) for canonical, name in self.names.items()
        )


def find_names(
    given: Collection[str],
    config: GPT2Config,
    source: str,
    layers_key: str = "n_layer",
    own_name: Callable[[str], str] = str,
) -> TensorNames:
    """Find the weights that `config` means among the names `given` of a file.

    They stand there under one prefix, such as `transformer.` or `module.model.`. layers_key: what
    config.json calls the number of layers. own_name: what the file calls a tensor, where `given`
    are names of another model. Raises CheckpointError where some weights are missing, and where
    several models are there.
    """
    _refuse_adapters(given, source)
    wanted = [name for name in config.tensor_shapes() if name != HEAD]
    plain: dict[str, str] = {}
    twice: dict[str, str] = {}
    for name in given:
        key = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        if key in plain:
            twice[key] = name
        plain.setdefault(key, name)
    prefixes = {
        key.removesuffix(anchor): None
        for key in plain
        for anchor in _ANCHORS
        if key == anchor or key.endswith(f".{anchor}")
    }
    if config.tie_word_embeddings:
        # Of two names for one tensor, safetensors.torch.save_model keeps the first: the head's.
        for prefix in prefixes:
            if (head := next((key for key in _heads(prefix) if key in plain), None)) is not None:
                plain.setdefault(prefix + TABLE, plain[head])
    complete = [prefix for prefix in prefixes if all(prefix + name in plain for name in wanted)]
    if _STANDARD in complete:  # what transformers takes, whatever else is there
        complete = [_STANDARD]
    if not complete:
        raise CheckpointError(
            _missing(plain, prefixes, wanted, (layers_key, config.n_layer), source, own_name)
        )
    if len(complete) > 1:
        tables = (plain[prefix + wanted[0]] for prefix in complete)
        raise CheckpointError(
            f"{source}: the weights hold several models ({some(tables)}); keep one"
        )
    prefix = complete[0]
    head = next((key for key in _heads(prefix) if key in plain), None)
    for key in (*(prefix + name for name in wanted), *([head] if head else [])):
        if key in twice:
            raise CheckpointError(
                f"{source}: the weights hold both {shown(plain[key])} and {shown(twice[key])}; "
                "keep one"
            )
    names = {name: plain[prefix + name] for name in wanted}
    if not config.tie_word_embeddings:
        if head is None:
            raise CheckpointError(
                f"{source}: tensor {HEAD} is missing from the weights, and config.json says "
                "tie_word_embeddings false; if the model has no head of its own, set it to true"
            )
        names[HEAD] = plain[head]
    known = {*names.values(), *([plain[head]] if head else [])}
    left_over = tuple(
        name
        for key, name in plain.items()
        if name not in known and not _expected(key, prefix, config.n_layer)
    )
    layers = _layers(plain, prefix)
    return TensorNames(names, prefix, layers, plain[head] if head else None, left_over)


def some(names: Iterable[object], count: int = 3) -> str:
    """A few of `names` for a message."""
    few = list(islice(names, count + 1))
    more = ", …" if len(few) > count else ""
    return ", ".join(shown(name) for name in few[:count]) + more


def _heads(prefix: str) -> tuple[str, ...]:
    return prefix.removesuffix(_STANDARD) + HEAD, prefix + HEAD, HEAD


def _expected(key: str, prefix: str, n_layer: int) -> bool:
    """Whether nothing need be said of `key`: a causal mask of old versions, or a further layer."""
    if key.endswith((".attn.bias", ".attn.masked_bias")):
        return True
    layer = re.match(re.escape(prefix) + r"h\.(\d{1,6})\.", key)
    return layer is not None and int(layer[1]) >= n_layer


def _layers(plain: Iterable[str], prefix: str) -> int:
    number = re.compile(re.escape(prefix) + r"h\.(\d{1,6})\.")
    found = (number.match(key) for key in plain)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def _missing(
    plain: dict[str, str],
    prefixes: Iterable[str],
    wanted: list[str],
    said: tuple[str, int],
    source: str,
    own_name: Callable[[str], str],
) -> str:
    """What to say where no prefix has all that is `wanted`.

    said: the number of layers that config.json says, behind its key. own_name: see `find_names`.
    """

    def names(found: Iterable[str]) -> str:
        return some(dict.fromkeys(own_name(name) for name in found))

    looked_at = list(islice(prefixes, _MOST_PREFIXES))
    if not looked_at:
        held = f"hold {names(plain.values())}" if plain else "hold nothing"
        return f"{source}: tensor {own_name(wanted[0])} is missing from the weights, which {held}"
    best = max(looked_at, key=lambda prefix: sum(prefix + name in plain for name in wanted))
    layers = _layers(plain, best)
    key, expected = said
    if 0 < layers < expected:
        return (
            f"{source}: config.json says {key} {expected}, the weights hold {layers} layers; "
            "correct the one, or complete the other"
        )
    name = next(name for name in wanted if best + name not in plain)
    beside = sorted(key for key in plain if key.startswith(best + name.rpartition(".")[0]))
    held = names(plain[key] for key in (beside or plain))
    return f"{source}: tensor {own_name(name)} is missing from the weights, which hold {held}"


def _refuse_adapters(given: Collection[str], source: str) -> None:
    adapter = next((name for name in given if _ADAPTERS.search(name)), None)
    if adapter is not None:
        raise CheckpointError(
            f"{source}: the weights hold {shown(adapter)}: a model with an adapter (LoRA, PEFT) "
            f"in it; {MERGE}"
        )
    quantized = next((name for name in given if _QUANTIZED.search(name)), None)
    if quantized is not None:
        raise CheckpointError(
            f"{source}: the weights hold {shown(quantized)}: they are quantized already; give the "
            "unquantized checkpoint that they were made from"
        )
