"""Whether a folder may be deleted because a package is: only if it holds nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gpt2_edge.files.manifest import MANIFEST_FILE
from gpt2_edge.files.manifest_file import read_manifest


def foreign_entry(folder: Path) -> str | None:
    """The first name in the package `folder` that its manifest does not list; None without one.

    Folders are foreign under any name, since a package has none. What the files hold is not
    compared: a damaged package may be replaced, and so may one whose model card was edited.
    Raises PackageError where the folder is no package that can be read.
    """
    listed = {MANIFEST_FILE, *read_manifest(folder).files}
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names, not paths
        if name not in listed or stat.S_ISDIR((folder / name).lstat().st_mode):
            return name
    return None
