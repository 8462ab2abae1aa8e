"""What tells one family of checkpoints from another, by model_type: all that is not a GPT-2's.

A family turns config.json and tensors into those of a GPT-2; behind that the exporter knows of no
family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from gpt2_edge.errors import CheckpointError
from gpt2_edge.untrusted import shown
from gpt2_edge_export.checkpoint.config import GPT2Config, canonical_config, parse_config
from gpt2_edge_export.checkpoint.readers import TensorReader


class ReadConfig(NamedTuple):
    """A config.json as it is understood: `written` is the package's, with all sizes in it.

    keys: GPT-2's name -> the key that the file has, where it is another; messages name it.
    """

    config: GPT2Config
    written: dict[str, Any]
    notes: list[str]
    keys: Mapping[str, str]


class ConfigReader(Protocol):
    """Understands the content of a config.json, which is called `where` in messages.

    position_rows: rows of the weights' position table, if known. Raises CheckpointError for what
    cannot be exported.
    """

    def __call__(
        self, raw: dict[str, Any], where: Path, position_rows: int | None = None
    ) -> ReadConfig: ...


@dataclass(frozen=True)
class Family:
    """Checkpoints of one model_type.

    title: what people call such a model. language_models: transformers' classes that write text
    with them. tensors: (reader, source) -> the same tensors by GPT-2's names and in its layout.
    """

    model_type: str
    title: str
    language_models: tuple[str, ...]
    read_config: ConfigReader
    tensors: Callable[[TensorReader, str], TensorReader]


def _read_gpt2_config(
    raw: dict[str, Any], where: Path, position_rows: int | None = None
) -> ReadConfig:
    written, notes, keys = canonical_config(raw, where, position_rows)
    return ReadConfig(parse_config(written, where, keys), written, notes, keys)


GPT2 = Family(
    "gpt2",
    "GPT-2",
    ("GPT2LMHeadModel", "GPT2Model", "GPT2DoubleHeadsModel"),
    _read_gpt2_config,
    lambda reader, source: reader,
)


def family_of(raw: Mapping[str, Any], where: Path, families: tuple[Family, ...]) -> Family:
    """The one of `families` that a config.json is of; CheckpointError if it is of none.

    Without a model_type it is a GPT-2's, unless its architectures say otherwise.
    """
    model_type = raw.get("model_type")
    if model_type is None and _may_be_gpt2(raw.get("architectures")):
        return GPT2
    for family in families:
        if family.model_type == model_type:
            return family
    said = f"{where} says model_type {shown(model_type)}"
    if model_type is None:
        said = f"{where} has no model_type, and architectures {shown(raw.get('architectures'))}"
    known = " and ".join(repr(family.model_type) for family in families)
    raise CheckpointError(f"{said}; only {known} checkpoints can be exported")


def _may_be_gpt2(architectures: object) -> bool:
    """Whether a config.json without model_type, with these architectures, may be a GPT-2's."""
    if architectures is None or architectures == []:
        return True
    names = architectures if isinstance(architectures, list) else [architectures]
    return all(isinstance(name, str) and name.startswith("GPT2") for name in names)
