"""Names on the hub: from the cache without a network, and what is asked for."""

from __future__ import annotations

import fnmatch
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import pytest

from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
from gpt2_edge_export.checkpoint.hub import download
from helpers import assert_one_line, random_config, random_tensors, write_random_checkpoint

CONFIG = random_config()


def offline(code: str, home: Path) -> str:
    """What `code` prints in a new process that may not use the network."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hub_name_that_is_not_cached(tmp_path: Path) -> None:
    code = """
from gpt2_edge.errors import CheckpointError
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
try:
    open_checkpoint("nobody/no-such-gpt2")
except CheckpointError as error:
    print(error)
"""
    message = offline(code, tmp_path).strip()
    assert message.startswith("nobody/no-such-gpt2: no such folder")
    assert len(message.splitlines()) == 1


def test_hub_name_that_is_cached(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--someone--small-gpt2"
    commit = "0123456789abcdef0123456789abcdef01234567"
    # bfloat16, because a process of its own has not registered it with NumPy as these tests have
    write_random_checkpoint(repository / "snapshots" / commit, CONFIG, dtype="bfloat16")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit, "utf-8")
    code = """
from gpt2_edge_export.checkpoint.checkpoint import open_checkpoint
print(float(open_checkpoint("someone/small-gpt2").tensor("wte.weight")[3, 4]))
"""
    expected = random_tensors(CONFIG)["wte.weight"][3, 4].astype(ml_dtypes.bfloat16)
    assert float(offline(code, tmp_path)) == float(expected)


class Hub:
    """A repository of `files`; snapshot_download brings what matches and says how often."""

    def __init__(self, folder: Path, files: list[str]) -> None:
        self.folder, self.files = folder, files

    def snapshot_download(self, name: str, allow_patterns: list[str]) -> str:
        for file in self.files:
            if any(fnmatch.fnmatch(file, pattern) for pattern in allow_patterns):
                path = self.folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        return str(self.folder)


def brought(folder: Path, monkeypatch: pytest.MonkeyPatch, *files: str) -> set[str]:
    folder.mkdir()
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(folder, list(files)))
    assert download("someone/small-gpt2") == folder
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "variant",
    ["model.fp16.safetensors", "model_quantized.safetensors", "adapter_model.safetensors"],
)
def test_a_variant_beside_torchs_file_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    found = brought(
        tmp_path / "r", monkeypatch, "config.json", variant, "pytorch_model.bin", "tf_model.h5"
    )
    assert found == {"config.json", "pytorch_model.bin"}


def test_shards_of_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = {"pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"}
    index = "pytorch_model.bin.index.json"
    assert brought(tmp_path / "r", monkeypatch, *shards, index, "training_args.bin") == {
        *shards,
        index,
    }


@pytest.mark.parametrize(
    "weights",
    [
        ["model.safetensors"],
        ["model.safetensors.index.json", "model-00001-of-00001.safetensors"],
    ],
)
def test_torchs_file_beside_safetensors_stays_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: list[str]
) -> None:
    assert brought(tmp_path / "r", monkeypatch, *weights, "pytorch_model.bin") == set(weights)


def test_everything_that_an_export_reads_beside_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "added_tokens.json",
        "adapter_config.json",
        "additional_chat_templates/tools.jinja",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
    assert brought(tmp_path / "r", monkeypatch, *files, "training_args.bin") == files


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def snapshot_download(*_: Any, **__: Any) -> str:
        raise error

    hub = SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)


class RepositoryNotFoundError(OSError):
    pass


class GatedRepoError(RepositoryNotFoundError):
    pass


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RepositoryNotFoundError("401\n\nfor url: https://x"), "private"),
        (GatedRepoError("403"), "accept terms"),
        (OSError(28, "No space left on device"), "No space left"),
        (RuntimeError("\x1b[31mred\x1b[0m\n" * 1000), "RuntimeError"),
    ],
)
def test_failures_are_told_in_our_words(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    failing(monkeypatch, error)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint("someone/small-gpt2")
    assert_one_line(caught.value, "someone/small-gpt2", reason)
    assert len(str(caught.value)) < 400


def test_ctrl_c_while_downloading_is_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        open_checkpoint("someone/small-gpt2")


@pytest.mark.parametrize("name", ["", "/", "a//b", "a/b/", "a/b/c", "./a", "a\0b", "\\\\x\\y"])
def test_what_is_no_name_is_not_asked_for(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    failing(monkeypatch, AssertionError("the hub was asked"))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(name)
    assert "hub" not in str(caught.value)
    assert_one_line(caught.value)
