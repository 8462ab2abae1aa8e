"""config.json as transformers reads it, and one line for what cannot be read so."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint.checkpoint import Checkpoint, open_checkpoint
from helpers import assert_one_line, random_config, random_tensors, write_checkpoint

CONFIG = random_config()
STANDARD = {
    "n_embd": "hidden_size",
    "n_positions": "max_position_embeddings",
    "n_head": "num_attention_heads",
    "n_layer": "num_hidden_layers",
}


def write(folder: Path, config: dict[str, Any], of: dict[str, Any] = CONFIG) -> Path:
    """A checkpoint that says `config` and holds the weights of `of`."""
    write_checkpoint(folder, of, random_tensors(of))
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


def refused(folder: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    assert_one_line(caught.value)
    return caught.value


ERRORS: dict[str, tuple[dict[str, Any], str]] = {
    "another architecture": ({"model_type": "bert"}, "'bert'"),
    "an architecture that is no text": ({"model_type": ["gpt2"]}, "['gpt2']"),
    "no model_type, another class": (
        {"model_type": None, "architectures": ["BertForMaskedLM"]},
        "BertForMaskedLM",
    ),
    "an encoder": ({"add_cross_attention": True}, "add_cross_attention"),
    "unknown activation": ({"activation_function": "gleu"}, "'gleu'"),
    "activations in a list": ({"activation_function": ["gelu"]}, "['gelu']"),
    "activations in an object": ({"activation_function": {"name": "gelu"}}, "{'name': 'gelu'}"),
    "heads that do not divide": ({"n_head": 3}, "n_head 3"),
    "no heads": ({"n_head": 0}, "n_head = 0"),
    "too many heads": ({"n_head": 10_001}, "n_head = 10001"),
    "heads that are too large": ({"n_embd": 131_074, "n_head": 2}, "n_head 2"),
    "no layers": ({"n_layer": 0}, "n_layer = 0"),
    "width as text": ({"n_embd": "32"}, "n_embd = '32'"),
    "width as a boolean": ({"n_embd": True}, "n_embd = True"),
    "half a layer": ({"n_layer": 1.5}, "n_layer = 1.5"),
    "negative inner width": ({"n_inner": -4}, "n_inner = -4"),
    "a vocabulary beyond bounds": ({"vocab_size": 10**400}, "vocab_size = 1000"),
    "epsilon as text": ({"layer_norm_epsilon": "small"}, "layer_norm_epsilon"),
    "epsilon as a boolean": ({"layer_norm_epsilon": True}, "layer_norm_epsilon = True"),
    "epsilon of 401 digits": ({"layer_norm_epsilon": 10**400}, "layer_norm_epsilon = 1000"),
    "infinite epsilon": ({"layer_norm_epsilon": float("inf")}, "layer_norm_epsilon = inf"),
    "epsilon that is no number": ({"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon = nan"),
    "negative epsilon": ({"layer_norm_epsilon": -1e-5}, "layer_norm_epsilon = -1e-05"),
    "a switch as text": ({"scale_attn_weights": "false"}, "scale_attn_weights = 'false'"),
    "a switch as a number": ({"tie_word_embeddings": 1}, "tie_word_embeddings = 1"),
    "bitsandbytes": (
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
        "'bitsandbytes'",
    ),
    "GPTQ": ({"quantization_config": {"bits": 4, "quant_method": "gptq"}}, "unquantized"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_config_that_cannot_be_exported(tmp_path: Path, case: str) -> None:
    changes, part = ERRORS[case]
    write(tmp_path, random_config(**changes))
    error = refused(tmp_path)
    assert_one_line(error, tmp_path / "config.json", part)
    assert len(str(error)) < 1000


@pytest.mark.parametrize("standard", [False, True])
@pytest.mark.parametrize("value", [1001, 10**7, 2**31, 10**12, 10**400])
def test_absurd_numbers_of_layers_cost_nothing(tmp_path: Path, value: int, standard: bool) -> None:
    changes = {"num_hidden_layers": value} if standard else {"n_layer": value}
    write(tmp_path, CONFIG | changes)
    started = time.monotonic()
    assert_one_line(refused(tmp_path), "n_layer", "1000")
    assert time.monotonic() - started < 10  # it took minutes and gigabytes


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[1, 2]",
        '"gpt2"',
        b"\xff\xfe\x00",
        "[" * 100_000,
        '{"n_layer": ' + "1" * 5000 + "}",
    ],
)
def test_config_that_is_no_json_object(tmp_path: Path, content: str | bytes) -> None:
    write(tmp_path, CONFIG)
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "config.json").write_bytes(raw)
    assert_one_line(refused(tmp_path), tmp_path / "config.json")


def test_key_that_stands_there_twice(tmp_path: Path) -> None:
    write(tmp_path, CONFIG)
    text = json.dumps(CONFIG).replace("{", '{"n_layer": 1, ', 1)
    (tmp_path / "config.json").write_text(text, "utf-8")
    assert_one_line(refused(tmp_path), "'n_layer' twice")


@pytest.mark.parametrize("names", [*STANDARD, "all"])
def test_names_that_transformers_has_for_every_architecture(tmp_path: Path, names: str) -> None:
    renamed = STANDARD if names == "all" else {names: STANDARD[names]}
    write(tmp_path, {renamed.get(key, key): value for key, value in CONFIG.items()})
    checkpoint = open_checkpoint(tmp_path)
    config = checkpoint.config
    sizes = (config.n_embd, config.n_positions, config.n_head, config.n_layer)
    assert sizes == (32, 64, 2, 2)
    # The package's config.json says it by one name each.
    assert all(checkpoint.raw_config[key] == CONFIG[key] for key in STANDARD)
    assert not checkpoint.raw_config.keys() & STANDARD.values()
    assert checkpoint.notes == ()


def test_of_two_names_the_one_counts_that_counts_in_transformers(tmp_path: Path) -> None:
    write(tmp_path, CONFIG | {"n_head": 4, "num_attention_heads": 2})
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.config.n_head == 2
    (note,) = checkpoint.notes
    assert "n_head 4" in note
    assert "num_attention_heads 2" in note


@pytest.mark.parametrize("names", ["standard", "both", "own"])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n_embd": 0}, ["n_embd = 0"]),
        ({"n_positions": "64"}, ["n_positions = '64'"]),
        ({"n_head": 3}, ["n_embd 32", "n_head 3"]),
        ({"n_layer": 2.0}, ["n_layer = 2.0"]),
        ({"n_layer": 3}, ["n_layer 3, the weights hold 2"]),
    ],
)
def test_messages_name_the_key_that_the_file_has(
    tmp_path: Path, names: str, wrong: dict[str, Any], said: list[str]
) -> None:
    """Where it has both, the one that counts."""
    config = CONFIG | wrong
    standard = {STANDARD.get(key, key): value for key, value in config.items()}
    write(tmp_path, {"standard": standard, "both": CONFIG | standard, "own": config}[names])
    message = str(refused(tmp_path)).partition("; ")[0]
    for part in said:
        key, *rest = part.split(" ", 1)
        assert " ".join([key if names == "own" else STANDARD[key], *rest]) in message
    if names != "own":
        assert not re.search(rf"\b({'|'.join(STANDARD)})\b", message)


def test_layers_that_are_left_out_are_told_by_the_file_s_key(tmp_path: Path) -> None:
    config = {STANDARD.get(key, key): value for key, value in (CONFIG | {"n_layer": 1}).items()}
    (note,) = open_checkpoint(write(tmp_path, config)).notes
    assert "num_hidden_layers 1, the weights hold 2 layers" in note


def without(*keys: str, **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (CONFIG | changes).items() if key not in keys}


def test_sizes_that_are_not_said_are_those_of_gpt2(tmp_path: Path) -> None:
    of = random_config(n_head=12, n_embd=48, n_layer=12, n_positions=1024)
    write(tmp_path, {k: v for k, v in of.items() if k not in ("n_head", "n_layer")}, of)
    checkpoint = open_checkpoint(tmp_path)
    assert (checkpoint.config.n_head, checkpoint.config.n_layer) == (12, 12)
    assert any("n_layer 12, n_head 12" in note for note in checkpoint.notes)
    assert (checkpoint.raw_config["n_head"], checkpoint.raw_config["n_layer"]) == (12, 12)


@pytest.mark.parametrize(
    ("key", "default"), [("vocab_size", 50257), ("n_positions", 1024), ("n_embd", 768)]
)
def test_default_that_the_weights_deny_is_named(tmp_path: Path, key: str, default: int) -> None:
    write(tmp_path, without(key))
    assert_one_line(refused(tmp_path), "shape", f"{key} {default}", "does not say")


def test_null_is_no_size(tmp_path: Path) -> None:
    write(tmp_path, CONFIG | {"vocab_size": None})
    assert_one_line(refused(tmp_path), "vocab_size = None")


@pytest.mark.parametrize("n_ctx", [64, 32])
def test_config_of_2019_with_n_ctx_only(tmp_path: Path, n_ctx: int) -> None:
    """It counts where the weights agree; transformers does not look at it."""
    write(tmp_path, without("n_positions", n_ctx=n_ctx))
    if n_ctx == 64:
        assert open_checkpoint(tmp_path).config.n_positions == 64
    else:
        assert_one_line(refused(tmp_path), "n_positions 1024")


@pytest.mark.parametrize("epsilon", [0, 1, 0.0, 1e-12])
def test_epsilon_may_be_a_whole_number(tmp_path: Path, epsilon: float) -> None:
    write(tmp_path, CONFIG | {"layer_norm_epsilon": epsilon})
    value = open_checkpoint(tmp_path).config.layer_norm_epsilon
    assert isinstance(value, float)
    assert value == epsilon


def of_gpt2(checkpoint: Checkpoint) -> bool:
    return checkpoint.raw_config["model_type"] == "gpt2"


@pytest.mark.parametrize("architectures", [None, [], ["GPT2LMHeadModel"], ["GPT2Model"]])
def test_gpt2_without_model_type(tmp_path: Path, architectures: list[str] | None) -> None:
    config = without("model_type", "architectures")
    if architectures is not None:
        config["architectures"] = architectures
    checkpoint = open_checkpoint(write(tmp_path, config))
    assert of_gpt2(checkpoint)
    (note,) = checkpoint.notes
    assert 'add "model_type": "gpt2"' in note


def test_other_weights_without_model_type(tmp_path: Path) -> None:
    write_checkpoint(
        tmp_path,
        without("model_type"),
        {"encoder.weight": random_tensors(CONFIG)["wte.weight"]},
        prefix=False,
    )
    assert_one_line(refused(tmp_path), "wte.weight is missing", 'add "model_type": "gpt2"')


@pytest.mark.parametrize("name", ["mish", "gelu_accurate"])
def test_activation_can_be_overridden(tmp_path: Path, name: str) -> None:
    write(tmp_path, CONFIG | {"activation_function": ["mystery"]})
    checkpoint = open_checkpoint(tmp_path, activation_function=name)
    assert checkpoint.config.activation_function == name
    assert checkpoint.raw_config["activation_function"] == name


def test_override_that_is_no_activation(tmp_path: Path) -> None:
    write(tmp_path, CONFIG)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path, activation_function="gleu")
    assert_one_line(caught.value, "'gleu'", "quick_gelu")
    assert "config.json" not in str(caught.value)


@pytest.mark.optimum
@pytest.mark.parametrize(
    "said",
    [
        {"hidden_size": 48, "n_embd": 32},
        {"max_position_embeddings": 77, "n_positions": 64, "n_ctx": 5},
        {"num_attention_heads": 4},
        {"num_hidden_layers": 3, "n_layer": 2},
        {"n_ctx": 1024},
        {"tie_word_embeddings": False, "layer_norm_epsilon": 1},
        {},
    ],
)
def test_config_is_read_as_transformers_reads_it(said: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    from gpt2_edge_export.checkpoint.config import canonical_config, parse_config

    theirs = transformers.GPT2Config.from_dict(said)
    ours = parse_config(canonical_config(said, Path("config.json"))[0], Path("config.json"))
    for key in (
        "vocab_size",
        "n_positions",
        "n_embd",
        "n_layer",
        "n_head",
        "activation_function",
        "layer_norm_epsilon",
        "scale_attn_weights",
        "scale_attn_by_inverse_layer_idx",
        "tie_word_embeddings",
    ):
        assert getattr(ours, key) == getattr(theirs, key), key
