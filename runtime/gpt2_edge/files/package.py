"""Opening a package, ours or optimum's."""

from __future__ import annotations

from pathlib import Path

from gpt2_edge.errors import PackageError
from gpt2_edge.files.manifest_file import read_manifest
from gpt2_edge.files.package_folder import AGAIN, Package, sha256_of, size_inside
from gpt2_edge.files.stock_folder import is_stock_folder, open_stock_folder
from gpt2_edge.untrusted import shown

__all__ = ["Package", "open_package", "sha256_of"]


def open_package(path: str | Path) -> Package:
    """Read the manifest in the folder `path` and check that every file is there and whole.

    Sizes are compared here; `Package.check_hashes` reads the contents. Raises PackageError.
    """
    try:
        folder = Path(path)
    except TypeError:
        raise PackageError(f"path is {shown(path)}; it must be that of a folder") from None
    try:
        if is_stock_folder(folder):
            return open_stock_folder(folder)
        manifest = read_manifest(folder)
        for name, record in manifest.files.items():
            size = size_inside(folder, name)
            if size != record.bytes:
                raise PackageError(
                    f"{folder / name} has {size} bytes, the manifest says {record.bytes}; {AGAIN}"
                )
        return Package(folder, manifest)
    except MemoryError as error:
        raise PackageError(f"{folder}: there is no memory left to open it") from error
