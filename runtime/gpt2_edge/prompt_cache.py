"""Keys and values that outlive a generation: a prompt that begins alike is not read again."""

from __future__ import annotations

import hashlib
import importlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.rows import SharedRows, make_rows
from gpt2_edge.decode.rows_protocol import common_prefix
from gpt2_edge.errors import GenerationError, MissingDependencyError, PackageError, install_hint
from gpt2_edge.files.package import Package
from gpt2_edge.graph.session import Session
from gpt2_edge.sampling import Logits
from gpt2_edge.untrusted import one_line

_FORMAT = "gpt2-edge prompt cache 1"


class PromptCache:
    """The cache of one text, for `generate(..., cache=cache)`: only what is new is read.

    Made by Generator.new_cache. `ids` are the tokens that it holds: those of the last prompt and
    of the text behind it, but for the last one. Generations that share it run one after another.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._rows = make_rows(session, 1, session.package.manifest.architecture.context_length)
        self.decoder = Decoder(self._rows)
        self._last: tuple[tuple[int, ...], Logits] | None = None  # of logits_after

    @property
    def ids(self) -> list[int]:
        """The tokens in the cache."""
        return list(self._rows.ids[0])

    def __len__(self) -> int:
        return len(self._rows.ids[0])

    def trim(self, length: int) -> None:
        """Forget the end of the text; GenerationError while a text is written.

        Args:
            length: how many tokens stay.
        """
        self._require_idle()
        self._rows.trim(0, length)

    def logits_after(self, ids: Sequence[int]) -> Logits:
        """Logits [vocab] after some tokens, of which only what is new is read.

        A lone new one is a step, as where a text is written; nothing is computed where they are
        those of the call before. Raises GenerationError while a text is written.

        Args:
            ids: one or more tokens of the vocabulary that fit the context.
        """
        self._require_idle()
        if self._last is not None and self._last[0] == tuple(ids):
            return self._last[1]
        common = min(common_prefix(self._rows.ids[0], ids), len(ids) - 1)
        self._rows.trim(0, common)
        left, logits = list(ids[common:]), None
        if len(left) == 1:
            logits = self._rows.step([0], [left])[0, 0]
        while logits is None:
            count, logits = self._rows.read(0, left)
            left = left[count:]
        self._last = tuple(ids), logits.copy()
        return self._last[1]

    def check_save(self, path: str | Path) -> None:
        """Raise what `save` would raise, before there is something to lose.

        Args:
            path: the file.
        """
        fingerprint(self.session.package)
        _safetensors("safetensors.numpy")
        folder = Path(path).absolute().parent
        reason = None
        if Path(path).is_dir():
            reason = "it is a folder"
        elif not folder.is_dir():
            reason = f"there is no folder {folder}"
        elif not os.access(folder, os.W_OK):
            reason = f"nothing can be written into {folder}"
        if reason:
            raise GenerationError(f"{path} cannot be written ({reason})")

    def save(self, path: str | Path) -> None:
        """Write it to a file (safetensors), for Generator.load_cache of the same package.

        What was there stays until all is written. Raises GenerationError where the file cannot be
        written, MissingDependencyError without safetensors.

        Args:
            path: the file.
        """
        self._require_idle()
        tensors: dict[str, npt.NDArray[Any]] = {"ids": np.array(self.ids, np.int64)}
        if isinstance(self._rows, SharedRows):  # other caches are made anew of the tokens
            tensors |= self._rows.state(0)
        metadata = {"format": _FORMAT, "package": fingerprint(self.session.package)}
        library = _safetensors("safetensors.numpy")
        target = Path(path)
        new = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            library.save_file(tensors, str(new), metadata=metadata)
            new.replace(target)
        except Exception as error:  # OSError, and the library's own
            raise GenerationError(f"{path} cannot be written ({one_line(str(error))})") from error
        finally:
            new.unlink(missing_ok=True)

    @classmethod
    def load(cls, session: Session, path: str | Path) -> PromptCache:
        """What `save` wrote; see Generator.load_cache.

        Args:
            session: of the same package.
            path: the file.
        """
        cache = cls(session)
        ids, tensors = _read(Path(path), session.package, cache._rows.capacity)
        if isinstance(cache._rows, SharedRows):
            try:
                cache._rows.restore(0, ids, tensors)
            except ValueError as error:
                raise PackageError(f"{path} is damaged ({error}); make it anew") from error
        else:
            left = ids
            while left:
                left = left[cache._rows.read(0, left)[0] :]
        return cache

    def _require_idle(self) -> None:
        if self.decoder.active:
            raise GenerationError("the cache is in use; wait for the text that is being written")

    def __repr__(self) -> str:
        return f"<PromptCache of {len(self)} tokens>"


def fingerprint(package: Package) -> str:
    """What tells packages apart whose caches mean different things: a hash of the files' hashes.

    Raises GenerationError for a folder without hashes.
    """
    manifest = package.manifest
    lines = [f"{manifest.files[name].sha256} {name}" for name in sorted(package.runtime_files())]
    if not lines:
        raise GenerationError(
            f"{package.folder} has no manifest with hashes, so its caches cannot be told from "
            "others'; export it with gpt2-edge to save caches"
        )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read(
    path: Path, package: Package, capacity: int
) -> tuple[list[int], dict[str, npt.NDArray[Any]]]:
    """Tokens and tensors in the file `path`, checked to be of this package; PackageError."""
    library = _safetensors("safetensors")
    try:
        if not path.is_file():
            raise PackageError(f"{path}: no such file; PromptCache.save writes one")
        with library.safe_open(str(path), "numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise PackageError(f"{path} is no prompt cache that this gpt2-edge reads")
            if metadata.get("package") != fingerprint(package):
                raise PackageError(
                    f"{path} is the cache of another package, not of {package.folder}; make it anew"
                )
            length = file.get_slice("ids").get_shape()
            if len(length) != 1 or length[0] > capacity:
                raise PackageError(f"{path} holds {length} tokens; the context has {capacity}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except PackageError:
        raise
    except Exception as error:  # OSError, the library's own, a missing name
        raise PackageError(f"{path} cannot be read ({one_line(str(error))})") from error
    ids = tensors.pop("ids")
    vocab = package.manifest.architecture.vocab_size
    if ids.dtype != np.int64 or (len(ids) and not (ids.min() >= 0 and ids.max() < vocab)):
        raise PackageError(f"{path} is damaged (its tokens are no ids); make it anew")
    return ids.tolist(), tensors


def _safetensors(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"saving and loading caches needs safetensors: {install_hint('cache')}"
        ) from error
