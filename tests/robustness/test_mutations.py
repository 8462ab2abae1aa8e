"""Spoiled files, some 3,600 of them: what they hold is taken, or refused in one line.

Never another error, more than LIMIT_SECONDS or LIMIT_BYTES. Derandomized: every run has the same.
"""

from __future__ import annotations

import hashlib
import json
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from byte_model import write_byte_checkpoint
from gpt2_edge import GenerationConfig, Generator, GPT2EdgeError
from gpt2_edge.files.package import open_package
from gpt2_edge.measure.selftest import run_self_test
from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge_cli.verbs.info import _printable_json, _rows
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from helpers import random_config, write_random_checkpoint
from robustness.mutations import spoiled, spoiled_bytes
from robustness.packages import assert_line

LIMIT_SECONDS, LIMIT_BYTES = 20, 2 << 30
_FEW = GenerationConfig(max_new_tokens=2, ignore_eos=True)


def cases(number: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=number,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # shrinking takes minutes
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def taken_or_refused() -> Iterator[None]:
    """The block ends, in time, or raises one of our errors in one line."""
    with in_time():
        try:
            yield
        except GPT2EdgeError as error:
            assert_line(error)


@contextmanager
def in_time() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise AssertionError(f"took more than {LIMIT_SECONDS} s")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@pytest.fixture(autouse=True, scope="module")
def _memory() -> Iterator[None]:
    """The whole process stays below the limit, all cases together."""
    resource = pytest.importorskip("resource")
    yield
    unit = 1 if sys.platform == "darwin" else 1024
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit < LIMIT_BYTES


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    return write_random_checkpoint(folder, random_config())


@pytest.fixture(scope="module")
def tokenizer_json(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = write_byte_checkpoint(tmp_path_factory.mktemp("bytes"))
    raw: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    vocabulary = raw["model"]["vocab"]
    raw["model"]["vocab"] = {token: number for token, number in vocabulary.items() if number < 120}
    raw["added_tokens"][0]["id"] = 120
    assert Tokenizer(Path("tokenizer.json"), json.dumps(raw).encode()).encode("A <|endoftext|>")
    return raw


def use(folder: Path) -> None:
    """Everything that a runtime does with a package, a little of it."""
    package = open_package(folder)
    assert all(isinstance(text, str) for text in _rows(package).values())
    assert _printable_json(json.loads(package.manifest.to_json())).isprintable()
    generator = Generator.load(folder, provider="cpu", threads=1)
    assert len(generator.generate([1, 2], _FEW).ids) <= 2
    run_self_test(generator)


@pytest.mark.parametrize("name", ["tiny", "tiny_static", "tiny_portable"])
@cases(450)
@given(data=st.data())
def test_manifests(name: str, request: pytest.FixtureRequest, data: st.DataObject) -> None:
    folder = request.getfixturevalue(name)
    path = folder / "manifest.json"
    genuine = path.read_bytes()
    try:
        path.write_bytes(data.draw(spoiled(json.loads(genuine))))
        with taken_or_refused():
            use(folder)
    finally:
        path.write_bytes(genuine)


@cases(350)
@given(data=st.data())
def test_graphs_under_their_own_hash(tiny: Path, data: st.DataObject) -> None:
    """Bits of the graph's structure, which comes first, with a manifest that agrees."""
    files = {name: (tiny / name).read_bytes() for name in ("model.onnx", "manifest.json")}
    head = data.draw(spoiled_bytes(files["model.onnx"][:8000]))
    content = head + files["model.onnx"][8000:]
    raw = json.loads(files["manifest.json"])
    digest = hashlib.sha256(content).hexdigest()
    raw["files"]["model.onnx"] = {"bytes": len(content), "sha256": digest}
    try:
        (tiny / "model.onnx").write_bytes(content)
        (tiny / "manifest.json").write_text(json.dumps(raw))
        with taken_or_refused():
            use(tiny)
    finally:
        for name, genuine in files.items():
            (tiny / name).write_bytes(genuine)


@cases(500)
@given(data=st.data())
def test_configurations_of_stock_folders(tiny_stock: Path, data: st.DataObject) -> None:
    path = tiny_stock / "config.json"
    genuine = path.read_bytes()
    try:
        path.write_bytes(data.draw(spoiled(json.loads(genuine))))
        with taken_or_refused():
            generator = Generator.load(tiny_stock, provider="cpu", threads=1)
            assert len(generator.generate([1, 2], _FEW).ids) <= 2
            assert _rows(open_package(tiny_stock))
    finally:
        path.write_bytes(genuine)


@cases(500)
@given(data=st.data())
def test_configurations_of_checkpoints(checkpoint: Path, data: st.DataObject) -> None:
    path = checkpoint / "config.json"
    genuine = path.read_bytes()
    try:
        path.write_bytes(data.draw(spoiled(json.loads(genuine))))
        with taken_or_refused():
            read = open_checkpoint(checkpoint)
            assert read.tensor("wpe.weight").shape == (read.config.n_positions, read.config.n_embd)
    finally:
        path.write_bytes(genuine)


@cases(500)
@given(data=st.data())
def test_headers_of_safetensors(checkpoint: Path, data: st.DataObject) -> None:
    path = checkpoint / "model.safetensors"
    genuine = path.read_bytes()
    (size,) = struct.unpack("<Q", genuine[:8])
    header = data.draw(spoiled(json.loads(genuine[8 : 8 + size])))
    sizes = st.sampled_from([len(header)] * 4 + [0, len(header) - 1, len(header) + 1, 2**40, 2**63])
    content = struct.pack("<Q", max(data.draw(sizes), 0)) + header + genuine[8 + size :]
    try:
        path.write_bytes(content)
        with taken_or_refused():
            read = open_checkpoint(checkpoint)
            for name in read.config.tensor_shapes():
                read.tensor(name)
    finally:
        path.write_bytes(genuine)


@cases(500)
@given(data=st.data())
def test_tokenizers(tokenizer_json: dict[str, Any], data: st.DataObject) -> None:
    content = data.draw(spoiled(tokenizer_json))
    with taken_or_refused():
        tokenizer = Tokenizer(Path("tokenizer.json"), content)
        ids = tokenizer.encode("A text, <|endoftext|> and more: café")
        assert isinstance(tokenizer.decode(ids), str)
        assert isinstance(tokenizer.encode("A", parse_special=False), list)
        for token_id in (0, 5, 119, 256, 10**6):
            assert isinstance(tokenizer.label(token_id), str)
