"""The form that a machine keeps of a package: the same tokens, made once, and never in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from gpt2_edge import Generator
from gpt2_edge.errors import PackageError
from gpt2_edge.files.machine_cache import MachineCache
from gpt2_edge.files.package import open_package
from gpt2_edge.graph import later, machine_form
from gpt2_edge.graph.machine_form import KIND, optimize
from gpt2_edge.graph.session import Session
from gpt2_edge_export.graph import onnx_builder

PROMPT = [464, 262, 11, 373]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MachineCache]:
    """The cache that `Generator.load` uses, in a folder of its own; packages of any size."""
    folder = tmp_path / "machine-cache"
    monkeypatch.setenv("GPT2_EDGE_CACHE", str(folder))
    monkeypatch.setattr(machine_form, "_SMALLEST", 0)
    monkeypatch.setattr(machine_form, "_PATIENCE", 600.0)  # until the test asks
    yield MachineCache(folder)
    later.drop_all()


@pytest.fixture
def package(tmp_path: Path, sample_int4: Path) -> Path:
    return Path(shutil.copytree(sample_int4, tmp_path / "package"))


def loaded(generator: Generator) -> bool:
    form = generator.session._form
    return form is not None and form.loaded


def finish_all() -> None:
    """Do now what loading left for later."""
    for work in list(later.PENDING):
        work.finish()


def load_twice(package: Path) -> tuple[Generator, Generator]:
    """As first loaded, and once the form was made."""
    first = Generator.load(package)
    assert not loaded(first)
    finish_all()
    return first, Generator.load(package)


def kept(cache: MachineCache) -> list[Path]:
    return [entry.folder for entry in cache.entries() if entry.kind == KIND]


def outputs(generator: Generator) -> list[Any]:
    logits = generator.logits(PROMPT * 9)
    text = generator.generate(PROMPT, max_new_tokens=20, do_sample=True, seed=3)
    several = generator.generate_batch([PROMPT, PROMPT[:2]], max_new_tokens=8)
    return [logits.tobytes(), text.ids, [each.ids for each in several]]


@pytest.mark.parametrize("recipe", ["fp32", "int8", "int8-row", "int4"])
def test_the_second_load_runs_the_form_and_gives_the_same_bits(
    cache: MachineCache, random_package: Callable[..., Path], recipe: str
) -> None:
    package = random_package(recipe, n_embd=64, n_head=2, vocab_size=600)
    first, second = load_twice(package)
    assert len(kept(cache)) == 1
    assert loaded(second)
    prompt = [5, 9, 3, 77, 12]
    for keep in (1, 5):
        expected, got = (g.session.start(32).feed(prompt, keep) for g in (first, second))
        assert np.array_equal(expected, got)
    expected, got = (g.generate(prompt, max_new_tokens=16).ids for g in (first, second))
    assert expected == got
    assert second.session.provider == "cpu"


def test_it_is_the_same_whatever_is_asked_of_it(cache: MachineCache, package: Path) -> None:
    first, second = load_twice(package)
    assert loaded(second)
    assert outputs(first) == outputs(second)
    np.testing.assert_array_equal(first.attention(PROMPT), second.attention(PROMPT))


def test_weights_in_a_file_of_their_own(
    cache: MachineCache, random_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_builder, "EMBED_LIMIT", 0)
    package = random_package("int4", n_embd=64, n_head=2, vocab_size=600)
    graph, weights = (package / name for name in ("model.onnx", "model.onnx_data"))
    monkeypatch.setattr(machine_form, "_SMALLEST", graph.stat().st_size + weights.stat().st_size)
    first, second = load_twice(package)
    assert loaded(second)
    np.testing.assert_array_equal(first.logits([1, 2, 3]), second.logits([1, 2, 3]))


@pytest.mark.parametrize("flavour", ["portable", "static"])
def test_other_flavours(
    cache: MachineCache, random_package: Callable[..., Path], flavour: str
) -> None:
    first, second = load_twice(random_package(flavour=flavour))
    assert loaded(second) == (flavour == "portable")  # of two graphs nothing is kept
    np.testing.assert_array_equal(first.logits([1, 2, 3], 1), second.logits([1, 2, 3], 1))


def test_small_packages_are_left_alone(
    cache: MachineCache, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("GPT2_EDGE_CACHE", str(cache.folder))
    Generator.load(package)
    finish_all()
    assert kept(cache) == []
    optimize(open_package(package), cache)  # whoever asks for it gets it
    assert loaded(Generator.load(package))


def test_who_wants_none_gets_none(cache: MachineCache, package: Path) -> None:
    load_twice(package)
    assert not loaded(Generator.load(package, machine_cache=False))
    assert not loaded(Generator.load(package, verify=False))
    assert Session(open_package(package))._form is None
    cache.clear()
    Generator.load(package, machine_cache=False)
    Generator.load(package, verify=False)
    finish_all()
    assert kept(cache) == []


def damage_weights(folder: Path) -> None:
    path = folder / "weights.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage_graph(folder: Path) -> None:
    (folder / "graph.onnx").write_bytes(b"no graph")


def lose_weights(folder: Path) -> None:
    (folder / "weights.bin").unlink()


@pytest.mark.parametrize("damage", [damage_weights, damage_graph, lose_weights])
def test_a_damaged_form_is_made_anew(
    cache: MachineCache, package: Path, damage: Callable[[Path], None]
) -> None:
    first, _ = load_twice(package)
    (folder,) = kept(cache)
    time.sleep(0.05)  # file systems note times in steps
    damage(folder)
    again = Generator.load(package)
    assert not loaded(again)
    assert outputs(again) == outputs(first)
    finish_all()
    assert loaded(Generator.load(package))


def test_one_that_does_not_load_goes(cache: MachineCache, package: Path) -> None:
    load_twice(package)
    (folder,) = kept(cache)
    damage_graph(folder)
    # As if it had been written so.
    record = machine_form.MachineForm(open_package(package), cache)._entry

    def write(target: Path) -> None:
        damage_graph(target)
        (target / "weights.bin").write_bytes(b"")

    assert record.make(write)
    assert not loaded(Generator.load(package))
    assert not kept(cache)


def test_a_package_that_was_changed_is_refused(cache: MachineCache, package: Path) -> None:
    load_twice(package)
    path = package / "model.onnx"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(PackageError, match="is damaged"):
        Generator.load(package)


def test_files_that_are_known_are_not_hashed_again(
    cache: MachineCache, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt2_edge.files.file_state._STEP", -(1 << 60))  # nothing is too young
    monkeypatch.setattr("gpt2_edge.files.file_state._TELLING", True)
    load_twice(package)
    hashed: list[str] = []
    check = machine_form.PackageFiles.check_hashes

    def counted(files: machine_form.PackageFiles, names: Any) -> None:
        hashed.extend(names := list(names))
        check(files, names)

    monkeypatch.setattr(machine_form.PackageFiles, "check_hashes", counted)
    assert loaded(Generator.load(package))
    assert hashed == []
    os.utime(package / "model.onnx")
    assert loaded(Generator.load(package))
    assert hashed == ["model.onnx"]
    cache.clear()
    Generator.load(package)  # which runs the files themselves
    assert hashed.count("model.onnx") == 2


def test_another_package_version_or_setting_is_another_form(
    cache: MachineCache, package: Path, sample_fp32: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_twice(package)
    assert not loaded(Generator.load(sample_fp32))
    with monkeypatch.context() as patch:
        patch.setattr(machine_form, "processor", lambda: "another")
        assert not loaded(Generator.load(package))
    with monkeypatch.context() as patch:
        patch.setattr(machine_form, "config_entries", dict)
        assert not loaded(Generator.load(package))
    with monkeypatch.context() as patch:
        patch.setattr(ort, "__version__", "1.99.0")
        assert not loaded(Generator.load(package))
    assert loaded(Generator.load(package))


@pytest.mark.parametrize(
    ("why", "expected"), [("no kernel of it can be saved", 1), ("bad allocation", 3)]
)
def test_what_onnxruntime_cannot_save_is_tried_once(
    cache: MachineCache, package: Path, monkeypatch: pytest.MonkeyPatch, why: str, expected: int
) -> None:
    tries = []

    def fail(*_: object) -> None:
        tries.append(1)
        raise RuntimeError(why)

    monkeypatch.setattr(machine_form, "save_form", fail)
    for _ in range(3):
        assert not loaded(Generator.load(package))
        finish_all()
    assert len(tries) == expected
    with pytest.raises(PackageError, match=why):
        optimize(open_package(package), cache)


def test_without_memory_nothing_is_made(
    cache: MachineCache, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_form, "available_memory", lambda: 1 << 20)
    Generator.load(package)
    finish_all()
    assert kept(cache) == []


def test_a_short_process_makes_it_at_its_end(cache: MachineCache, package: Path) -> None:
    code = (
        "import sys; from gpt2_edge import Generator; from gpt2_edge.graph import machine_form;"
        "machine_form._SMALLEST = 0; machine_form._PATIENCE = 600.0;"
        "generator = Generator.load(sys.argv[1]); print(generator.session._form.loaded)"
    )
    for expected in ("False", "True"):
        command = [sys.executable, "-c", code, str(package)]
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        assert result.stdout.split() == [expected]
        assert result.stderr == ""
    assert cache.folder is not None
    assert not list(cache.folder.glob(".*"))


def test_optimize_checks_to_the_last_byte(cache: MachineCache, package: Path) -> None:
    stored, made = optimize(open_package(package), cache)
    assert made
    assert not optimize(open_package(package), cache)[1]
    damage_weights(stored.folder)
    assert optimize(open_package(package), cache)[1]
    (package / "model.onnx").write_bytes((package / "model.onnx").read_bytes()[::-1])
    with pytest.raises(PackageError, match=r"damaged|cannot be loaded"):
        optimize(open_package(package), cache)


def test_optimize_says_why_nothing_is_kept(
    cache: MachineCache, package: Path, random_package: Callable[..., Path]
) -> None:
    with pytest.raises(PackageError, match="switched off"):
        optimize(open_package(package), MachineCache.off())
    with pytest.raises(PackageError, match="fixed shapes"):
        optimize(open_package(random_package(flavour="static")), cache)
