"""Progress bars on standard error."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

_DELAY = 2  # seconds of work before a bar appears


def progress_bar(total: int, what: str, unit: str) -> tqdm[Any]:
    """A bar that vanishes at the end; off a terminal nothing is written."""
    return tqdm(
        total=total,
        desc=what,
        unit=f" {unit}",
        delay=_DELAY,
        leave=False,
        disable=not sys.stderr.isatty(),
    )
