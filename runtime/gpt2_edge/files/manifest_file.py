"""Reading manifest.json, of which nothing is believed before it has been checked."""

from __future__ import annotations

import os
from pathlib import Path

from gpt2_edge.errors import PackageError
from gpt2_edge.files.manifest import FORMAT_VERSION, MANIFEST_FILE, Manifest
from gpt2_edge.files.manifest_rules import UPGRADE, NewerError, check_manifest
from gpt2_edge.files.typed_json import typed
from gpt2_edge.untrusted import UnreadableError, read_json_object, shown

_COPY = "copy the package again"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the package in `folder`, each value in its bounds.

    Raises PackageError in one line where there is none, where it is damaged, or where it is newer
    than this runtime.
    """
    path = folder / MANIFEST_FILE
    if not os.path.isdir(folder):  # noqa: PTH112 (Path.is_dir may raise)
        raise PackageError(f"{folder}: no such package folder")
    try:
        raw = read_json_object(path)
    except FileNotFoundError as error:
        raise PackageError(
            f"{folder} has no {MANIFEST_FILE}; is it a package that gpt2-edge export wrote?"
        ) from error
    except UnreadableError as error:
        raise PackageError(f"{path} cannot be read as JSON ({error}); {_COPY}") from error
    version = raw.get("format_version")
    if type(version) is not int or version < 1:
        said = "no format_version" if version is None else f"format_version {shown(version)}"
        raise PackageError(f"{path} has {said}; {_COPY}")
    if version > FORMAT_VERSION:
        raise PackageError(
            f"{path} has format version {shown(version)}; this gpt2-edge reads up to "
            f"{FORMAT_VERSION}: {UPGRADE}"
        )
    try:
        manifest: Manifest = typed(Manifest, raw, "manifest")
        check_manifest(manifest)
    except NewerError as error:
        raise PackageError(f"{path} has {error}: {UPGRADE}") from error
    except ValueError as error:
        raise PackageError(f"{path} is damaged ({error}); {_COPY}") from error
    return manifest
