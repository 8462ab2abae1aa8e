"""generation_config.json of a checkpoint: read, checked, and told where it is not followed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gpt2_edge import GenerationConfig, Generator
from gpt2_edge.errors import CheckpointError
from gpt2_edge.files.manifest_file import read_manifest
from gpt2_edge.measure.selftest import run_self_test
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.export import ExportOptions, ExportReport, export_package
from gpt2_edge_export.output.generation_file import read_generation_file
from gpt2_edge_export.tokenizer.special_tokens import special_tokens
from helpers import assert_one_line, random_config, write_random_checkpoint

ABSENT: Any = object()


def checkpoint(folder: Path, generation: dict[str, Any] | str | None, **config: Any) -> Path:
    write_random_checkpoint(folder, random_config() | config)
    if generation is not None:
        text = generation if isinstance(generation, str) else json.dumps(generation)
        (folder / "generation_config.json").write_text(text, "utf-8")
    return folder


def export(tmp_path: Path, source: Path) -> ExportReport:
    return export_package(source, tmp_path / "package", ExportOptions("fp32", tokenizer=False))


def search_of(package: Path) -> dict[str, Any]:
    search: dict[str, Any] = json.loads((package / "genai_config.json").read_text("utf-8"))[
        "search"
    ]
    return {key: search[key] for key in ("do_sample", "temperature", "top_k", "top_p")}


def test_settings_become_the_packages_and_genais(tmp_path: Path) -> None:
    given = {
        "do_sample": True,
        "temperature": 0.7,
        "top_k": 20,
        "top_p": 0.9,
        "max_new_tokens": 3,
        "transformers_version": "4.57.6",
        "unknown to all": [1, {"x": "é"}],
    }
    report = export(tmp_path, checkpoint(tmp_path / "model", given))
    assert len(report.notes) == 0
    folder = report.package.folder
    assert json.loads((folder / "generation_config.json").read_text("utf-8")) == given
    assert search_of(folder) == {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.9}
    first, second = (Generator.load(folder).generate([1, 2]) for _ in range(2))
    assert len(first.ids) <= 3
    assert first.seed != second.seed  # it samples


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0}),
        ({"temperature": 0.5}, {"do_sample": False, "temperature": 0.5, "top_k": 50, "top_p": 1.0}),
        ({"do_sample": True}, {"do_sample": True, "temperature": 1.0, "top_k": 50, "top_p": 1.0}),
        (
            {"do_sample": True, "temperature": 0},
            {"do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0},
        ),
        (
            {"do_sample": True, "top_k": 0, "top_p": 0},
            {"do_sample": False, "temperature": 1.0, "top_k": 0, "top_p": 1.0},
        ),
    ],
)
def test_genai_gets_the_same_defaults(
    tmp_path: Path, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert search_of(export(tmp_path, checkpoint(tmp_path / "model", given)).package.folder) == (
        expected
    )


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["JSON"]),
        ("[]", ["no JSON object"]),
        ("nonsense", ["JSON"]),
        ("[" * 100_000, ["JSON", "deep"]),
        ('{"a": ' + "1" * 5000 + "}", ["digits"]),
        ('{"top_k": 1, "top_k": 2}', ["top_k", "twice"]),
        ({"temperature": "hot"}, ["temperature", "'hot'"]),
        ({"temperature": -1}, ["temperature", "-1"]),
        ('{"temperature": NaN}', ["temperature", "nan"]),
        ({"temperature": True}, ["temperature", "True"]),
        ({"top_k": 40.5}, ["top_k", "40.5"]),
        ({"top_k": -1}, ["top_k", "-1"]),
        ({"top_p": 2}, ["top_p", "2"]),
        ({"do_sample": "yes"}, ["do_sample", "'yes'"]),
        ({"do_sample": 1}, ["do_sample", "1"]),
        ({"max_new_tokens": 0}, ["max_new_tokens", "0"]),
        ({"max_new_tokens": [5]}, ["max_new_tokens", "[5]"]),
        ({"eos_token_id": "0"}, ["eos_token_id", "'0'"]),
        ({"eos_token_id": True}, ["eos_token_id", "True"]),
        ({"eos_token_id": [0, "1"]}, ["eos_token_id", "[0, '1']"]),
        ({"eos_token_id": {"x": "y" * 100_000}}, ["eos_token_id"]),
        ({"bos_token_id": [0]}, ["bos_token_id", "[0]"]),
        ({"bos_token_id": 0.0}, ["bos_token_id", "0.0"]),
        ('{"whatever": Infinity}', ["infinity"]),
    ],
    ids=lambda value: ascii(value)[:40] if not isinstance(value, list) else "",
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, content: dict[str, Any] | str, parts: list[str]
) -> None:
    source = checkpoint(tmp_path / "model", content)
    with pytest.raises(CheckpointError) as caught:
        export(tmp_path, source)
    assert_one_line(caught.value, "generation_config.json", *parts)
    assert not (tmp_path / "package").exists()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "model", None)
    os.mkfifo(source / "generation_config.json")
    with pytest.raises(CheckpointError) as caught:
        export(tmp_path, source)
    assert_one_line(caught.value, "generation_config.json", "no regular file")


def test_what_is_not_used_is_named_once(tmp_path: Path) -> None:
    given = {
        "_from_model_config": True,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "transformers_version": "4.57.6",
        "use_cache": True,
        "output_scores": True,
        "repetition_penalty": 1.3,
        "num_beams": 4,
        "min_p": 0.05,
        "bad_words_ids": [[5]],
        "max_length": 100,
        "typical_p": 1.0,
        "no_repeat_ngram_size": 0,
        "length_penalty": 1,
        "early_stopping": False,
        "suppress_tokens": [],
        "penalty_alpha": None,
        "num_return_sequences": 1,
    }
    report = export(tmp_path, checkpoint(tmp_path / "model", given))
    (note,) = report.notes
    assert " sets num_beams, max_length, which" in note
    assert "generation_config.json" in note
    for key in (
        "repetition_penalty",
        "min_p",
        "bad_words",
        "typical_p",
        "length_penalty",
        "version",
        "pad",
        "output",
        "cache",
        "alpha",
    ):
        assert key not in note


def test_without_the_file_settings_in_the_config_count(tmp_path: Path) -> None:
    source = checkpoint(
        tmp_path / "model", None, do_sample=True, top_k=5, repetition_penalty=1.2, num_beams=3
    )
    report = export(tmp_path, source)
    (note,) = report.notes
    assert "config.json sets num_beams, which" in note
    content = json.loads((tmp_path / "package" / "generation_config.json").read_text("utf-8"))
    assert content == {
        "bos_token_id": 0,
        "eos_token_id": 0,
        "do_sample": True,
        "top_k": 5,
        "repetition_penalty": 1.2,
        "num_beams": 3,
    }
    with pytest.raises(CheckpointError) as caught:
        export_package(checkpoint(tmp_path / "other", None, top_k="5"), tmp_path / "p")
    assert_one_line(caught.value, "other/config.json", "top_k", "'5'")


# generation_config.json, and what config.json has beside it -> do_sample, temperature, top_k and
# the end of a text, as transformers takes them.
SOURCES: dict[str, tuple[dict[str, Any] | None, dict[str, Any], tuple[bool, float, int, int]]] = {
    "of a file of its own": (
        {"eos_token_id": 7},
        {"do_sample": True, "top_k": 5},
        (False, 1, 50, 7),
    ),
    "of a changed config": (
        {"_from_model_config": True, "eos_token_id": 7},
        {"do_sample": True, "top_k": 5, "temperature": 0.5},
        (True, 0.5, 5, 0),
    ),
    "of one with an unused setting": (
        {"_from_model_config": True, "eos_token_id": 7, "top_k": 9},
        {"num_beams": 2},
        (False, 1, 50, 0),
    ),
    "of an unchanged config": (
        {"_from_model_config": True, "eos_token_id": 7, "do_sample": True},
        {"do_sample": False, "top_k": 50, "temperature": None, "max_length": 20},
        (True, 1, 50, 7),
    ),
    "top_k null is off": (
        {"do_sample": True, "top_k": None, "top_p": None, "eos_token_id": 0},
        {},
        (True, 1, 0, 0),
    ),
    "but in config.json": (None, {"do_sample": True, "top_k": None}, (True, 1, 50, 0)),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_whose_settings_count(tmp_path: Path, kind: str) -> None:
    generation, config, expected = SOURCES[kind]
    folder = export(tmp_path, with_nulls(tmp_path / "model", generation, config)).package.folder
    generator = Generator.load(folder)
    found = GenerationConfig().resolved(GenerationConfig.from_pretrained(folder))
    (end,) = generator.manifest.eos_token_ids
    assert (found.do_sample, found.temperature, found.top_k, end) == expected
    assert search_of(folder)["top_k"] == found.top_k


@pytest.mark.optimum
@pytest.mark.parametrize("kind", SOURCES)
def test_whose_settings_count_in_transformers(tmp_path: Path, kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    generation, config, expected = SOURCES[kind]
    source = with_nulls(tmp_path / "model", generation, config)
    model = transformers.AutoModelForCausalLM.from_pretrained(source)
    found, _ = model._prepare_generation_config(None)
    assert (found.do_sample, found.temperature, found.top_k or 0, found.eos_token_id) == expected


def with_nulls(folder: Path, generation: dict[str, Any] | None, config: dict[str, Any]) -> Path:
    checkpoint(folder, generation)
    (folder / "config.json").write_text(json.dumps(random_config() | config), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"early_stopping": True, "length_penalty": 0.5, "diversity_penalty": 1.0}, ()),
        ({"num_beams": 2, "early_stopping": True}, ("num_beams", "early_stopping")),
        ({"max_length": 50}, ("max_length",)),
        ({"max_length": 50, "max_new_tokens": 9}, ()),
        ({"cache_implementation": "quantized"}, ("cache_implementation",)),
        ({"cache_implementation": "static"}, ()),
    ],
    ids=str,
)
def test_only_what_changes_the_text_is_named(
    tmp_path: Path, given: dict[str, Any], named: tuple[str, ...]
) -> None:
    source = checkpoint(tmp_path / "model", given | {"eos_token_id": 0})
    notes = read_generation_file(open_checkpoint(source)).notes
    assert [note.partition(" sets ")[2].partition(", which")[0] for note in notes] == (
        [", ".join(named)] if named else []
    )


def test_a_penalty_of_the_package_holds_and_its_self_test_is_greedy_all_the_same(
    tmp_path: Path,
) -> None:
    given = {"repetition_penalty": 1.9, "no_repeat_ngram_size": 2, "suppress_tokens": [3]}
    folder = export(tmp_path, checkpoint(tmp_path / "model", given)).package.folder
    generator = Generator.load(folder)
    theirs = generator.generate([1, 2], max_new_tokens=20, ignore_eos=True)
    asked = {**given, "max_new_tokens": 20, "ignore_eos": True}
    bare = generator.with_config()
    assert theirs.ids == bare.generate([1, 2], **asked).ids
    assert theirs.ids != bare.generate([1, 2], max_new_tokens=20, ignore_eos=True).ids
    assert run_self_test(generator) == []
    genai = json.loads((folder / "genai_config.json").read_text("utf-8"))
    assert genai["search"]["repetition_penalty"] == 1.9


def test_tokens_outside_the_vocabulary_are_told_at_export(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "model", {"suppress_tokens": [3, 50256]})
    with pytest.raises(CheckpointError) as caught:
        export(tmp_path, source)
    assert_one_line(caught.value, "generation_config.json", "suppress_tokens", "50256")


# eos_token_id of generation_config.json and of config.json, the vocabulary -> what ends a text.
EOS: dict[str, tuple[Any, Any, int, tuple[int, ...]]] = {
    "of the first": ([0, 26], 0, 101, (0, 26)),
    "of the first, one": (5, 0, 101, (5,)),
    "of the second": (ABSENT, 7, 101, (7,)),
    "none at all is none": (ABSENT, ABSENT, 101, ()),
    "none at all is GPT-2's": (ABSENT, ABSENT, 50257, (50256,)),
    "null is none": (ABSENT, None, 50257, ()),
    "null in the first is none": (None, 7, 101, ()),
    "an empty list is none": ([], 7, 101, ()),
    "twice is once": ([3, 3], 7, 101, (3,)),
    "outside": (101, 7, 101, ()),
    "below": (-1, 7, 101, ()),
    "one outside": ([7, 10**30], ABSENT, 101, (7,)),
}


@pytest.mark.parametrize("kind", EOS)
def test_what_ends_a_text(kind: str) -> None:
    first, second, vocab_size, expected = EOS[kind]
    sources = [
        (file, {} if value is ABSENT else {"eos_token_id": value, "bos_token_id": 1})
        for file, value in (("generation_config.json", first), ("config.json", second))
    ]
    special = special_tokens(sources, vocab_size)
    assert special.eos == expected
    assert (special.note is not None) == ("outside" in kind or "below" in kind)
    if kind in ("outside", "below"):
        assert "will not end by itself" in (special.note or "")
        assert "generation_config.json" in (special.note or "")


def test_manifest_and_genai_have_the_same_special_tokens(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "model", {"eos_token_id": [0, 26], "bos_token_id": 3})
    folder = export(tmp_path, source).package.folder
    manifest = read_manifest(folder)
    assert (manifest.bos_token_id, manifest.eos_token_ids) == (3, (0, 26))
    model = json.loads((folder / "genai_config.json").read_text("utf-8"))["model"]
    assert (model["bos_token_id"], model["eos_token_id"]) == (3, [0, 26])


def test_an_end_outside_the_vocabulary_is_noted(tmp_path: Path) -> None:
    report = export(tmp_path, checkpoint(tmp_path / "model", None, eos_token_id=50256))
    (note,) = report.notes
    assert "50256" in note
    assert "will not end by itself" in note
    assert report.package.manifest.eos_token_ids == ()


def test_special_tokens_are_transformers(tmp_path: Path) -> None:
    """Where neither file names one, transformers' defaults; its own reading of what was written."""
    transformers = pytest.importorskip("transformers")
    for number, (generation, config) in enumerate(
        [({"eos_token_id": [0, 26]}, 5), ({"eos_token_id": None}, 5), (None, 5), (None, [5, 6])]
    ):
        source = checkpoint(tmp_path / str(number), generation, eos_token_id=config)
        if generation is not None:
            theirs = transformers.GenerationConfig.from_pretrained(source)
        else:
            model_config = transformers.GPT2Config.from_pretrained(source)
            theirs = transformers.GenerationConfig.from_model_config(model_config)
        eos = theirs.eos_token_id
        ours = read_generation_file(open_checkpoint(source)).special.eos
        assert ours == (() if eos is None else tuple(eos) if isinstance(eos, list) else (eos,))


LICENCES: dict[str, tuple[Any, bool]] = {
    "LICENSE": (lambda path: path.write_text("as you like", "utf-8"), True),
    "LICENSE-of the data.md": (lambda path: path.write_bytes(b"\xff" * 9), True),
    "LICENSE.link": (lambda path: path.symlink_to("config.json"), True),
    "LICENSE.large": (lambda path: path.write_bytes(b"x" * (1 << 20) + b"x"), False),
    "LICENSE.folder": (Path.mkdir, False),
    "LICENSE.pipe": (os.mkfifo, False),
    "LICENSE.secret": (lambda path: path.symlink_to("/etc/passwd"), False),
    "LICENSE.circle": (lambda path: path.symlink_to(path), False),
    "LICENSE\n\x1b[2J": (lambda path: path.write_text("x", "utf-8"), False),
}


@pytest.mark.parametrize("name", LICENCES, ids=repr)
def test_licences_are_regular_files_of_the_checkpoint(tmp_path: Path, name: str) -> None:
    source = checkpoint(tmp_path / "model", None)
    make, copied = LICENCES[name]
    make(source / name)
    report = export(tmp_path, source)
    path = report.package.folder / name
    if copied:
        assert path.read_bytes() == (source / name).read_bytes()
        assert not path.is_symlink()
        assert report.notes == ()
    else:
        assert not path.exists()
        (note,) = report.notes
        assert note.startswith(repr(name))
        assert note.isprintable()


def test_a_licence_in_the_hubs_cache_is_a_link_to_its_blobs(tmp_path: Path) -> None:
    cache = tmp_path / "models--you--model"
    source = checkpoint(cache / "snapshots" / "0123", None)
    (cache / "blobs").mkdir()
    (cache / "blobs" / "abcd").write_text("as you like", "utf-8")
    (source / "LICENSE").symlink_to("../../blobs/abcd")
    assert (export(tmp_path, source).package.folder / "LICENSE").read_text() == "as you like"
