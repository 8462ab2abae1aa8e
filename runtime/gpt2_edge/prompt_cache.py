"""Keys and values that outlive a generation: a prompt that begins alike is not read again."""

from __future__ import annotations

import hashlib
import importlib
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.rows import SharedRows, make_rows
from gpt2_edge.decode.rows_protocol import Rows, common_prefix
from gpt2_edge.errors import (
    ContextOverflowError,
    GenerationError,
    MissingDependencyError,
    PackageError,
    install_hint,
)
from gpt2_edge.files.package import Package
from gpt2_edge.graph.session import Session
from gpt2_edge.prompts import check_vocabulary, token_ids
from gpt2_edge.sampling import Logits
from gpt2_edge.untrusted import one_line, shown
from gpt2_edge.values import whole_number

_FORMAT = "gpt2-edge prompt cache 2"
_HASH = "sha256"  # in the file's metadata: of the tensors
Tensors = Mapping[str, npt.NDArray[Any]]


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
        stays = whole_number(length)
        if stays is None or stays < 0:
            raise GenerationError(
                f"length is {shown(length)}; it must be a whole number, 0 or more"
            )
        self._rows.trim(0, stays)

    def logits_after(self, ids: Sequence[int]) -> Logits:
        """Logits [vocab] after some tokens, of which only what is new is read.

        A lone new one is a step, as where a text is written; nothing is computed where they are
        those of the call before. Raises GenerationError while a text is written, and for what are
        no token ids; ContextOverflowError for too many.

        Args:
            ids: one or more tokens of the vocabulary that fit the context.
        """
        self._require_idle()
        ids = check_vocabulary(token_ids(ids, "ids", takes=""), self._vocab_size)
        if not ids:
            raise GenerationError("ids is empty; give at least one token id")
        if len(ids) > self._rows.capacity:
            raise ContextOverflowError(
                f"there are {len(ids)} tokens; the model's context holds {self._rows.capacity}: "
                "shorten it"
            )
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
        reason = _obstacle(_file(path))
        if reason:
            raise GenerationError(f"{path} cannot be written ({reason})")

    def save(self, path: str | Path) -> None:
        """Write it to a file (safetensors), for Generator.load_cache of the same package.

        What was there stays until all is written; behind a link, the file that it names is
        written. Raises GenerationError where the file cannot be written, MissingDependencyError
        without safetensors.

        Args:
            path: the file.
        """
        self._require_idle()
        tensors: dict[str, npt.NDArray[Any]] = {"ids": np.array(self.ids, np.int64)}
        if isinstance(self._rows, SharedRows):  # other caches are made anew of the tokens
            tensors |= self._rows.state(0)
        metadata = {
            "format": _FORMAT,
            "package": fingerprint(self.session.package),
            _HASH: _hash_of(tensors),
        }
        library = _safetensors("safetensors.numpy")
        self.check_save(path)
        target = Path(os.path.realpath(path))
        # Not of the target's name, which may be as long as names can be.
        new = target.with_name(f".gpt2-edge.{os.getpid()}.{secrets.token_hex(4)}")
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
        ids, tensors = _read(_file(path), session.package, cache._rows)
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

    @property
    def _vocab_size(self) -> int:
        return self.session.package.manifest.architecture.vocab_size

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
    path: Path, package: Package, rows: Rows
) -> tuple[list[int], dict[str, npt.NDArray[Any]]]:
    """Tokens and tensors in the file `path`, checked to be of this package; PackageError."""
    library = _safetensors("safetensors")
    try:
        if not path.exists():
            raise PackageError(f"{path}: no such file; PromptCache.save writes one")
        if not path.is_file():
            raise PackageError(f"{path} cannot be read (it is no regular file)")
        with library.safe_open(str(path), "numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise PackageError(f"{path} is no prompt cache that this gpt2-edge reads")
            if metadata.get("package") != fingerprint(package):
                raise PackageError(
                    f"{path} is the cache of another package, not of {package.folder}; make it anew"
                )
            length = file.get_slice("ids").get_shape()
            if len(length) != 1 or length[0] > rows.capacity:
                raise PackageError(f"{path} holds {length} tokens; the context has {rows.capacity}")
            shapes: dict[str, tuple[int, ...]] = {"ids": (length[0],)}
            if isinstance(rows, SharedRows):
                shapes |= rows.state_shapes(length[0])
            # Before any of them is read: a file of a few bytes can name terabytes.
            if set(file.keys()) != shapes.keys() or any(
                tuple(file.get_slice(name).get_shape()) != shape for name, shape in shapes.items()
            ):
                raise PackageError(f"{path} is damaged (it holds other tensors); make it anew")
            tensors = {name: file.get_tensor(name) for name in shapes}
            if metadata.get(_HASH) != _hash_of(tensors):
                raise PackageError(f"{path} is damaged (its SHA-256 is another); make it anew")
    except PackageError:
        raise
    except Exception as error:  # OSError, the library's own, a missing name
        raise PackageError(f"{path} cannot be read ({one_line(str(error))})") from error
    ids = tensors.pop("ids")
    vocab = package.manifest.architecture.vocab_size
    if ids.dtype != np.int64 or (len(ids) and not (ids.min() >= 0 and ids.max() < vocab)):
        raise PackageError(f"{path} is damaged (its tokens are no ids); make it anew")
    return ids.tolist(), tensors


def _hash_of(tensors: Tensors) -> str:
    """SHA-256 of names, types, shapes and contents."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(array.view(np.uint8).data if array.size else b"")
    return found.hexdigest()


def _file(path: Any) -> Path:
    try:
        return Path(path)
    except TypeError:
        raise GenerationError(f"path is {shown(path)}; it must be that of a file") from None


def _obstacle(path: Path) -> str | None:
    """Why nothing can be written to `path`, if so."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return "it is a folder"
        if not stat.S_ISREG(mode):
            return "it is no regular file"
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return getattr(error, "strerror", None) or str(error)
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    return None if os.access(folder, os.W_OK) else f"nothing can be written into {folder}"


def _safetensors(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"saving and loading caches needs safetensors: {install_hint('cache')}"
        ) from error
