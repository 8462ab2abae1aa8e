"""Which turns a package has: a chat template's, DialoGPT's, or a text that goes on."""

from __future__ import annotations

import re
from typing import Any

from gpt2_edge.errors import GenerationError, PackageError
from gpt2_edge.files.package_folder import Package
from gpt2_edge.text.chat_template import TemplateTurns
from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge.text.turns import EosTurns, PlainTurns, Turns
from gpt2_edge.untrusted import JSON_LIMIT, UnreadableError, parse_json, shown
from gpt2_edge.values import switch

KINDS = ("template", "eos", "plain")
_SETTINGS_FILE, _CONFIG_FILE = "tokenizer_config.json", "config.json"
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
            "mask_token")  # fmt: skip
_ADDITIONAL = "additional_special_tokens"
# GPT-2's template in transformers, which DialoGPT's tokenizer has: EosTurns, without Jinja.
_EOS_TEMPLATE = "{%formessageinmessages%}{{message.content}}{{eos_token}}{%endfor%}"


def turns_of(
    package: Package,
    tokenizer: Tokenizer,
    kind: str | None = None,
    system: str | None = None,
    parse_special: bool = False,
) -> Turns:
    """How a conversation with `package` is put together.

    kind: one of KINDS; None finds it out: a chat template in tokenizer_config.json is used, else
    DialoGPT's turns where config.json has task_specific_params.conversational or the name has
    DialoGPT in it, else plain text. system: a message in front, for templates. parse_special:
    special tokens that are written out in messages count as such. Raises GenerationError and
    PackageError, MissingDependencyError for a template without jinja2.
    """
    parse_special = switch(parse_special, "parse_special")
    settings = _read(package, _SETTINGS_FILE)
    source = _template(package, settings)
    if kind is None:
        kind = _kind(package, source)
    if system is not None and kind != "template":
        raise GenerationError("a system message goes with a chat template; this package's turns "
                              f"are {kind}")  # fmt: skip
    eos_ids = package.manifest.eos_token_ids
    if kind == "plain":
        return PlainTurns(tokenizer, eos_ids, parse_special)
    if kind == "eos":
        if not eos_ids:
            raise GenerationError(f"{package.folder} names no token that ends a text, so its turns "
                                  "are plain")  # fmt: skip
        return EosTurns(tokenizer, eos_ids[0], parse_special)
    if source is None:
        raise GenerationError(f"{package.folder / _SETTINGS_FILE} has no chat template; choose "
                              "eos or plain turns")  # fmt: skip
    special: dict[str, Any] = {
        name: text for name in _SPECIAL if (text := _text(settings.get(name))) is not None
    }
    end = tokenizer.vocabulary().get(special.get("eos_token", ""))
    if isinstance(more := settings.get(_ADDITIONAL), list):
        special[_ADDITIONAL] = [text for each in more if (text := _text(each)) is not None]
    ends = () if end is None else (end,)
    where = str(package.folder / _SETTINGS_FILE)
    return TemplateTurns(source, tokenizer, special, ends, where, system, parse_special)


def _kind(package: Package, source: str | None) -> str:
    if source is not None:
        return "eos" if re.sub(r"\s", "", source) == _EOS_TEMPLATE else "template"
    config = _read(package, _CONFIG_FILE)
    tasks = config.get("task_specific_params")
    names = (package.manifest.name, str(config.get("_name_or_path")))
    if isinstance(tasks, dict) and "conversational" in tasks:
        return "eos"
    return "eos" if any("dialogpt" in name.lower() for name in names) else "plain"


def _template(package: Package, settings: dict[str, Any]) -> str | None:
    """The chat template in tokenizer_config.json; of several, the one called default."""
    found = settings.get("chat_template")
    if isinstance(found, list):
        entries = [each for each in found if isinstance(each, dict)]
        named = [each.get("template") for each in entries if each.get("name") == "default"]
        found = named[0] if named else None
    if found is not None and not isinstance(found, str):
        raise PackageError(
            f"{package.folder / _SETTINGS_FILE}: chat_template is {shown(found)}; it must be a text"
        )
    return found


def _read(package: Package, name: str) -> dict[str, Any]:
    """The JSON object in the file `name` of the package; empty where it has no such file."""
    if name not in package.manifest.files:
        return {}
    try:
        value = parse_json(package.read(name, JSON_LIMIT))
    except UnreadableError as error:
        raise PackageError(f"{package.folder / name} cannot be read: {error}") from error
    return value if isinstance(value, dict) else {}


def _text(token: Any) -> str | None:
    """A special token as tokenizer_config.json has it: a text, or an object with its content."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None
