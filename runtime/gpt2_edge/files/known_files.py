"""Files of a package whose hashes were compared before, and that nobody has written since."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from gpt2_edge.files.file_state import FileState, is_settled
from gpt2_edge.files.machine_cache import MachineCache, package_hash
from gpt2_edge.files.package_folder import Package
from gpt2_edge.untrusted import UnreadableError, parse_json, read_bytes

_KIND, _FILE = "hashed-files", "states.json"
_LARGEST = 1 << 20


class KnownFiles:
    """What the machine's cache knows of the files in the folder of `package`."""

    def __init__(self, cache: MachineCache, package: Package) -> None:
        folder = os.path.realpath(package.folder)
        matters = {"folder": folder}
        self._entry = cache.entry(package_hash(package), _KIND, matters, package.manifest.name)
        self._known = self._read()

    def unknown(self, states: Mapping[str, FileState]) -> list[str]:
        """Those files of `states` (what the system says of each now) whose hashes are not known."""
        return [name for name, state in states.items() if self._known.get(name) != list(state)]

    def note(self, states: Mapping[str, FileState], names: Iterable[str]) -> None:
        """The hashes of the files `names` are the manifest's, as long as their states stay.

        The states are those before the hashes were compared.
        """
        noted = {name: list(states[name]) for name in names if is_settled(states[name])}
        known = self._known | noted
        if known == self._known:
            return

        def write(folder: Path) -> None:
            (folder / _FILE).write_text(json.dumps(known), "utf-8")

        self._known = known
        self._entry.make(write, insist=True)

    def _read(self) -> dict[str, list[int]]:
        stored = self._entry.open()
        if stored is None:
            return {}
        try:
            known = parse_json(read_bytes(stored.folder / _FILE, _LARGEST))
        except (FileNotFoundError, UnreadableError):
            return {}
        return known if isinstance(known, dict) else {}
