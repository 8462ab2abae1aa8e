"""What tools/embedded-tools.sh makes; tools/test-embedded.sh runs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of compilers and headers."""
    folder = os.environ.get("EMBEDDED_TOOLS")
    if not folder:
        pytest.skip("EMBEDDED_TOOLS names no folder; tools/test-embedded.sh makes one")
    return Path(folder)
