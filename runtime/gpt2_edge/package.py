"""Opening a package: what its manifest says against what lies in the folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gpt2_edge.errors import PackageError
from gpt2_edge.manifest import Manifest, read_manifest

_CHUNK = 4 << 20


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

    def runtime_files(self) -> list[str]:
        """The files that a runtime reads: graph, external weights, tokenizer."""
        graph = self.manifest.graph
        others = [self.manifest.tokenizer, graph.static and graph.static.chunk_file]
        # External weights are called model.onnx.data here and model.onnx_data by optimum.
        return [
            name for name in self.manifest.files if name.startswith(graph.file) or name in others
        ]

    def check_hashes(self, names: Iterable[str] | None = None) -> None:
        """Compare the SHA-256 of the files `names` (default: all) with the manifest.

        Raises PackageError naming the first file that differs.
        """
        for name in self.manifest.files if names is None else names:
            expected = self.manifest.files[name].sha256
            actual = sha256_of(self.folder / name)
            if actual != expected:
                raise PackageError(
                    f"{self.folder / name} is damaged: its SHA-256 is {actual[:12]}…, the manifest "
                    f"says {expected[:12]}…; copy or export the package again"
                )


def open_package(path: str | Path) -> Package:
    """Read the manifest in the folder `path` and check that every file is there and whole.

    Sizes are compared here; `Package.check_hashes` reads the contents. Raises PackageError.
    """
    folder = Path(path)
    from gpt2_edge import stock_folder  # which makes a Package, so it imports this module

    if stock_folder.is_stock_folder(folder):
        return stock_folder.open_stock_folder(folder)
    manifest = read_manifest(folder)
    for name, record in manifest.files.items():
        file = folder / name
        if Path(name).name != name:
            raise PackageError(
                f"{folder}: the manifest lists {name!r}, which is outside the package"
            )
        if not file.is_file():
            raise PackageError(f"{file} is missing; copy or export the package again")
        size = file.stat().st_size
        if size != record.bytes:
            raise PackageError(
                f"{file} has {size} bytes, the manifest says {record.bytes}; "
                "copy or export the package again"
            )
    for needed in filter(None, (manifest.graph.file, manifest.tokenizer)):
        if needed not in manifest.files:
            raise PackageError(f"{folder}: the manifest uses {needed} but does not list it")
    return Package(folder, manifest)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of the file `path`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
