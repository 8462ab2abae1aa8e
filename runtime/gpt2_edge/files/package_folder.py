"""A package folder: what its manifest says against what lies in it."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gpt2_edge.errors import PackageError
from gpt2_edge.files.manifest import Manifest
from gpt2_edge.untrusted import UnreadableError, read_bytes, shown

GENERATION_CONFIG_FILE = "generation_config.json"
_CHUNK = 4 << 20
AGAIN = "copy or export the package again"


@dataclass(frozen=True)
class Package:
    """A package folder whose manifest was read and whose files have the right sizes."""

    folder: Path
    manifest: Manifest

    @property
    def model_path(self) -> Path:
        return self.folder / self.manifest.graph.file

    @property
    def total_bytes(self) -> int:
        """Size of all files that the manifest lists."""
        return sum(record.bytes for record in self.manifest.files.values())

    @property
    def graph_files(self) -> list[str]:
        """The ONNX files: one, or a static package's two."""
        graph = self.manifest.graph
        return [graph.file, *([graph.static.chunk_file] if graph.static else [])]

    def runtime_files(self) -> list[str]:
        """The listed files that a runtime reads, apart from weights under names of their own.

        Which those are, the graphs say (`onnx_file.read_onnx`); what is called model.onnx.data here
        and model.onnx_data by optimum is among these already.
        """
        manifest = self.manifest
        read = {*self.graph_files, manifest.tokenizer, GENERATION_CONFIG_FILE}
        return [
            name for name in manifest.files if name in read or name.startswith(manifest.graph.file)
        ]

    def check_weights(self, file: str, locations: Iterable[str]) -> None:
        """Raise PackageError unless the manifest lists every file that the graph `file` reads."""
        for location in locations:
            if location not in self.manifest.files:
                raise PackageError(
                    f"{self.folder / file} has weights in {shown(location)}, which the manifest "
                    f"does not list: export the package again"
                )

    def check_hashes(self, names: Iterable[str] | None = None) -> None:
        """Compare the SHA-256 of the files `names` (default: all) with the manifest.

        Raises PackageError naming the first file that differs, or cannot be read.
        """
        for name in self.manifest.files if names is None else names:
            try:
                actual = sha256_of(self.folder / name)
            except OSError as error:
                raise PackageError(
                    f"{self.folder / name} cannot be read ({error.strerror}); {AGAIN}"
                ) from error
            self._compare(name, actual)

    def check_content(self, name: str, content: bytes) -> None:
        """Compare the SHA-256 of `content`, read from the file `name`, with the manifest."""
        self._compare(name, hashlib.sha256(content).hexdigest())

    def read(self, name: str, limit: int, verify: bool = True) -> bytes:
        """The file `name`, of at most `limit` bytes; what was hashed is what is returned.

        Raises PackageError.
        """
        try:
            content = read_bytes(self.folder / name, limit)
        except FileNotFoundError as error:
            raise PackageError(f"{self.folder / name} is missing; {AGAIN}") from error
        except UnreadableError as error:
            raise PackageError(f"{self.folder / name} cannot be read ({error}); {AGAIN}") from error
        if verify:
            self.check_content(name, content)
        return content

    def _compare(self, name: str, actual: str) -> None:
        expected = self.manifest.files[name].sha256
        if actual != expected:
            raise PackageError(
                f"{self.folder / name} is damaged: its SHA-256 is {actual[:12]}…, the manifest "
                f"says {expected[:12]}…; {AGAIN}"
            )


def size_inside(folder: Path, name: str) -> int:
    """Size in bytes of the regular file `name` in `folder`.

    Raises PackageError where there is none, or where it is a link that leads out of the folder: no
    package has a say over what lies elsewhere.
    """
    path = folder / name
    try:
        status = path.stat()
        if path.is_symlink() and folder.resolve() not in path.resolve().parents:
            raise PackageError(
                f"{path} is a link out of the package; copy the package with the file itself (cp "
                "-rL)"
            )
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # a NUL, a lone surrogate
        raise PackageError(f"{path} is missing; {AGAIN}") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links, before 3.13
        reason = error.strerror if isinstance(error, OSError) else error
        raise PackageError(f"{path} cannot be read ({reason}); {AGAIN}") from error
    if not stat.S_ISREG(status.st_mode):
        raise PackageError(f"{path} is no regular file; {AGAIN}")
    return status.st_size


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of the file `path`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
