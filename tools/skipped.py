"""What the tests of a `make check` skipped, and why: tools/skipped.py FILE

FILE has a line a test: the suite, the reason, the test, separated by tabs (tests/conftest.py and
the other suites append them).
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path


def main(path: Path) -> None:
    """Print each reason with how many tests of which suite it kept from running."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    counts = Counter(tuple(line.split("\t")[:2]) for line in lines)
    print(f"skipped: {len(lines)} tests" + ("" if lines else ", none"))
    for (suite, reason), count in sorted(counts.items()):
        print(f"  {count:4}  {suite}: {reason}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
