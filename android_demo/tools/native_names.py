"""Says which classes and members that a native library looks up by name an APK's code lacks.

    javap -s -p -cp CLASSES.jar CLASS... >MEMBERS; dexdump FILE.dex >CODE
    python native_names.py MEMBERS CODE LIBRARY.so...

What JNI's FindClass, GetMethodID and GetFieldID are given stands in the library as C strings: of
each member in MEMBERS its name and its descriptor, of each class its name with slashes. Prints what
CODE lacks, one a line, then how many were looked for; exit status 1 where one is lacking or none
was found.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path


def members(javap: str) -> Iterator[tuple[str, str, str]]:
    """Class (with slashes), name and descriptor of every member; a class itself has neither."""
    owner = declared = ""
    for line in javap.splitlines():
        if heading := re.match(r"(?:[\w ]+ )?(?:class|interface) ([\w.$]+)", line):
            owner = heading[1].replace(".", "/")
            yield owner, "", ""
        elif descriptor := re.match(r"    descriptor: (\S+)", line):
            if declared != "static {}":
                name = declared.split("(")[0].split()[-1]
                yield owner, "<init>" if name.replace(".", "/") == owner else name, descriptor[1]
        elif line.startswith("  "):
            declared = line.strip().rstrip(";")


def in_code(dexdump: str) -> set[tuple[str, str, str]]:
    found = set()
    owner = name = ""
    for line in dexdump.splitlines():
        key, _, value = line.partition("'")
        value = value.rstrip("'")
        match key.strip().split(" ")[0]:
            case "Class":
                if "descriptor" in key:
                    owner = value[1:-1]
                    found.add((owner, "", ""))
            case "name":
                name = value
            case "type":
                found.add((owner, name, value))
    return found


def main(members_file: str, code_file: str, *libraries: str) -> int:
    strings = b"".join(Path(library).read_bytes() for library in libraries)

    def named(text: str) -> bool:  # the end of a longer string may serve as one
        return not text or text.encode() + b"\0" in strings

    code = in_code(Path(code_file).read_text())
    every = list(members(Path(members_file).read_text()))
    classes = {owner for owner, name, _ in every if not name and named(owner)}
    looked_up = [m for m in every if m[0] in classes and named(m[1]) and named(m[2])]
    lacking = [m for m in looked_up if m not in code]
    for owner, name, descriptor in lacking:
        print(f"         lacks {owner} {name} {descriptor}".rstrip())
    print(f"         {len(looked_up)} are looked up, {len(classes)} of them classes")
    return 1 if lacking or not looked_up else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
