"""Writes an unsigned APK, or says whether what is stored in one lies where Android can map it.

    python apk_zip.py pack OUT.apk RESOURCES.apk FOLDER   everything of both, aligned
    python apk_zip.py check FILE.apk                      prints what is not aligned; exit status 1

Native libraries are stored, not compressed, and start at a multiple of 16 KB, the largest page
that Android devices have; what else is stored starts at a multiple of 4 bytes. The alignment is
written into an extra field of each entry (id 0xd935, of Android's apksig), because apksigner copies
the file entry by entry and would otherwise align libraries to 4 KB again.
"""

import shutil
import struct
import sys
import zipfile
from pathlib import Path

LIBRARY_ALIGNMENT = 16384
OTHER_ALIGNMENT = 4
ALIGNMENT_FIELD = 0xD935
LOCAL_HEADER = 30  # bytes before name and extra field
CHUNK = 1 << 20


def alignment(name: str) -> int:
    return LIBRARY_ALIGNMENT if name.endswith(".so") else OTHER_ALIGNMENT


def aligned_extra(name: str, offset: int) -> bytes:
    """An extra field after which the content of an entry at `offset` is aligned."""
    before = offset + LOCAL_HEADER + len(name.encode()) + 6
    padding = -before % alignment(name)
    return struct.pack("<HHH", ALIGNMENT_FIELD, 2 + padding, alignment(name)) + bytes(padding)


def add(apk: zipfile.ZipFile, name: str, compression: int, source) -> None:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the same bytes whenever it is built
    entry.compress_type = compression
    entry.external_attr = 0o644 << 16
    if compression == zipfile.ZIP_STORED:
        entry.extra = aligned_extra(name, apk.start_dir)
    with apk.open(entry, "w") as target:
        shutil.copyfileobj(source, target, CHUNK)


def pack(out: Path, resources: Path, folder: Path) -> None:
    with zipfile.ZipFile(out, "w") as apk:
        with zipfile.ZipFile(resources) as linked:
            for entry in linked.infolist():
                with linked.open(entry) as source:
                    add(apk, entry.filename, entry.compress_type, source)
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            stored = path.suffix == ".so"
            with path.open("rb") as source:
                add(
                    apk,
                    path.relative_to(folder).as_posix(),
                    zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED,
                    source,
                )


def misaligned(path: Path) -> list[str]:
    wrong = []
    with zipfile.ZipFile(path) as apk, path.open("rb") as file:
        for entry in apk.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                continue
            file.seek(entry.header_offset + LOCAL_HEADER - 4)
            name_length, extra_length = struct.unpack("<HH", file.read(4))
            start = entry.header_offset + LOCAL_HEADER + name_length + extra_length
            if start % alignment(entry.filename):
                wrong.append(f"{entry.filename} starts at byte {start}")
    return wrong


def main(arguments: list[str]) -> int:
    match arguments:
        case ["pack", out, resources, folder]:
            pack(Path(out), Path(resources), Path(folder))
            return 0
        case ["check", path]:
            wrong = misaligned(Path(path))
            print("\n".join(wrong), end="\n" if wrong else "")
            return 1 if wrong else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
