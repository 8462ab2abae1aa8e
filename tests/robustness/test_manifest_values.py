"""Values of manifest.json that are absurd, contradict each other, or steer a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge.files.package import open_package
from gpt2_edge.untrusted import one_line
from gpt2_edge_cli.main import main
from robustness.packages import a_few_ids, edit, refusal

_STEERING = "\x1b]0;pwned\x07\x1b[2J\nsecond line\x9b31m\u202e"


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"format_version":' + b"1" * 5000 + b"}",
        b'{"format_version": 1, "format_version": 1}',
        b"\xef\xbb\xbf{}",
        b"\xff{}",
        b"\0",
        b'{"format_version": 1e400}',
        b'{"format_version": NaN}',
        b'"' + b"x" * 1_000_000,
        b"{}," * (3 << 20),
    ],
    ids=lambda content: repr(content[:20]),
)
def test_json_that_no_parser_likes(package: Path, content: bytes) -> None:
    (package / "manifest.json").write_bytes(content)
    assert "manifest.json" in refusal(package)


@pytest.mark.parametrize("value", [10**400, "NaN", "Infinity", "1e999", [], None, True])
def test_a_logit_that_is_no_finite_number(package: Path, value: Any) -> None:
    edit(package, lambda raw: raw["self_test"].update(logits={"5": "VALUE"}))
    path = package / "manifest.json"
    plain = value if isinstance(value, str) else json.dumps(value)
    path.write_text(path.read_text("utf-8").replace('"VALUE"', plain), "utf-8")
    assert "self_test.logits" in refusal(package)


@pytest.mark.parametrize(
    "test",
    [
        {"prompt_ids": []},
        {"prompt_ids": [1] * 65},
        {"prompt_ids": [1] * 60, "expected_ids": [1] * 6},
        {"expected_ids": [101]},
        {"expected_ids": [-1]},
        {"expected_ids": [1.5]},
        {"logits": {"-1": 1.0}},
        {"logits": {"1.0": 1.0}},
        {"logits": {"١": 1.0}},
        {"logits": {"0" * 5000: 1.0}},
        {"tolerance": -1},
        {"tolerance": "0.5"},
    ],
)
def test_a_self_test_that_cannot_be_run(package: Path, test: dict[str, Any]) -> None:
    edit(package, lambda raw: raw["self_test"].update(test))
    assert "self_test" in refusal(package)


@pytest.mark.parametrize("version", ["9" * 5000, "1." + "9" * 5000, "", ".", "1.", "١.٢", "1.23\n"])
def test_a_version_of_onnxruntime_that_is_none(package: Path, version: str) -> None:
    edit(package, lambda raw: raw["graph"].update(min_onnxruntime=version))
    assert "min_onnxruntime" in refusal(package)


@pytest.mark.parametrize(
    "change",
    [
        {"cache": "host"},
        {"cache": "concat"},
        {"flavour": "portable"},
        {"static": {"past": 64, "chunk": 32, "chunk_file": "model.onnx"}},
        {"flavour": "portable", "cache": "concat", "cache_dtype": "int8"},
        {"flavour": "static", "cache": "host"},
    ],
)
def test_kinds_that_do_not_go_together(package: Path, change: dict[str, Any]) -> None:
    edit(package, lambda raw: raw["graph"].update(change))
    assert "does not go with the cache" in refusal(package)


@pytest.mark.parametrize("name", ["C:x", "a\\b", "a/b", "/x", "..", ".", "", "a\0b", "c:\\x"])
def test_a_listed_file_that_is_elsewhere_on_some_system(package: Path, name: str) -> None:
    record = {"bytes": 1, "sha256": 64 * "0"}
    edit(package, lambda raw: raw["files"].update({name: record}))
    assert "is outside the package" in refusal(package)


@pytest.mark.parametrize("key", ["flavour", "cache", "cache_dtype"])
def test_what_a_later_version_may_know_is_not_called_damaged(package: Path, key: str) -> None:
    edit(package, lambda raw: raw["graph"].update({key: "quantum"}))
    message = refusal(package)
    assert f"graph.{key} 'quantum'" in message
    assert "upgrade gpt2-edge" in message
    assert "damaged" not in message


@pytest.mark.parametrize("past", [0, -1, 63, 10**12, 2**64])
def test_the_room_of_a_static_cache(static: Path, past: int) -> None:
    edit(static, lambda raw: raw["graph"]["static"].update(past=past))
    assert "static.past" in refusal(static)


@pytest.mark.parametrize("chunk", [0, -1, 65, 10**12])
def test_the_chunk_of_a_static_package(static: Path, chunk: int) -> None:
    edit(static, lambda raw: raw["graph"]["static"].update(chunk=chunk))
    assert "static.chunk" in refusal(static)


def test_a_static_package_without_positions(static: Path) -> None:
    edit(static, lambda raw: raw["graph"]["names"].update(position_ids=None))
    assert "position_ids" in refusal(static)


_PLACES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "name of an input": lambda raw: raw["graph"]["names"].update(input_ids=_STEERING),
    "name of a cache": lambda raw: raw["graph"]["names"].update(past_key=_STEERING + "{i}"),
    "a file": lambda raw: raw["files"].update({_STEERING: {"bytes": 1, "sha256": 64 * "0"}}),
    "a file with a surrogate": lambda raw: raw["files"].update(
        {"\ud800": {"bytes": 1, "sha256": 64 * "0"}}
    ),
    "a hash": lambda raw: raw["files"]["model.onnx"].update(sha256=_STEERING),
    "a size": lambda raw: raw["files"]["model.onnx"].update(bytes=_STEERING),
    "the graph": lambda raw: raw["graph"].update(file=_STEERING),
    "the tokenizer": lambda raw: raw.update(tokenizer=_STEERING),
    "the flavour": lambda raw: raw["graph"].update(flavour=_STEERING),
    "a long name": lambda raw: raw["graph"].update(file="x" * 100_000),
    "a long list": lambda raw: raw.update(bos_token_id=[0] * 100_000),
    "a deep list": lambda raw: raw["recipe"].update(deep=json.loads("[" * 100 + "]" * 100)),
}


@pytest.mark.parametrize("place", _PLACES)
def test_what_is_shown_of_it_is_one_printable_line(package: Path, place: str) -> None:
    edit(package, _PLACES[place])
    refusal(package)


@pytest.mark.parametrize(
    "quality",
    [
        None,
        {},
        {"mean_kl": None},
        {"mean_kl": 0.1},
        {"mean_kl": "0.1", "perplexity": "1"},
        {"mean_kl": 0.1, "perplexity": 5},
        {"mean_kl": 0.1, "perplexity": 5.0, "reference_perplexity": None, "tokens": "many"},
        {"mean_kl": True, "perplexity": [], "tokens": {}, "text": 5},
        {"mean_kl": 0.1, "perplexity": 2.0, "tokens": 10**200, "text": _STEERING},
    ],
)
@pytest.mark.parametrize(
    "recipe",
    [
        {"name": "int4"},
        {"name": _STEERING},
        {"name": "x", "attn.c_attn": {}},
        {"name": "x", "attn.c_attn": {"bits": "4"}, "mlp": {"bits": 4}},
        {"name": "x", _STEERING: {"bits": 4}, "more": [1, None, {"a": "b"}]},
    ],
)
def test_info_prints_whatever_a_manifest_says(
    package: Path, capsys: pytest.CaptureFixture[str], recipe: Any, quality: Any
) -> None:
    edit(package, lambda raw: raw.update(recipe=recipe, quality=quality, name=_STEERING))
    edit(package, lambda raw: raw.update(created_by="x" * 100_000))
    assert main(["info", str(package)]) == 0
    shown = capsys.readouterr().out
    assert all(line.isprintable() and len(line) < 1200 for line in shown.splitlines())
    assert main(["info", "--json", str(package)]) == 0
    line = capsys.readouterr().out.removesuffix("\n")
    assert line.isprintable()
    assert json.loads(line) == json.loads(open_package(package).manifest.to_json())


@pytest.mark.parametrize("recipe", [{}, {"name": None}, {"name": 4}, {"name": ["int4"]}])
def test_a_recipe_without_a_name_is_one_line(package: Path, recipe: Any) -> None:
    edit(package, lambda raw: raw.update(recipe=recipe))
    assert "recipe.name" in refusal(package)


def test_a_file_with_a_name_that_steers_is_shown_escaped(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a\x1b[2Jb\nc"
    (package / name).write_text("x")
    record = {"bytes": 1, "sha256": 64 * "0"}
    edit(package, lambda raw: raw["files"].update({name: record}))
    assert main(["info", str(package)]) == 0
    assert "a\\x1b[2Jb\\nc" in capsys.readouterr().out
    assert len(a_few_ids(package)) == 4


@pytest.mark.parametrize(("dtype", "kib"), [("float32", 512), ("float16", 256), ("int8", 128)])
def test_info_has_the_cache_in_its_own_type(
    package: Path, capsys: pytest.CaptureFixture[str], dtype: str, kib: int
) -> None:
    sizes = {"num_layers": 2, "num_heads": 512, "head_size": 64}  # 131,072 numbers per token
    edit(package, lambda raw: raw["graph"].update(cache_dtype=dtype))
    edit(package, lambda raw: raw["architecture"].update(sizes))
    assert main(["info", str(package)]) == 0
    assert f"shared cache of {kib} KiB per token" in capsys.readouterr().out


def test_a_long_line_is_cut_to_its_limit() -> None:
    for length in (999, 1000, 1001, 5000):
        assert len(one_line("x" * length)) == min(length, 1000)
