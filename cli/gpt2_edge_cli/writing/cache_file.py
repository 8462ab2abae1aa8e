"""--cache-file: the cache of a prompt, kept from one command to the next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpt2_edge.generate import Generator
    from gpt2_edge.prompt_cache import PromptCache


def open_cache(generator: Generator, name: str) -> PromptCache:
    """What the file `name` holds, or an empty cache that can be saved to it.

    Raises PackageError for a file that is of another package, or no cache; it stays as it is.
    """
    cache = generator.new_cache()
    cache.check_save(name)
    return generator.load_cache(name) if Path(name).exists() else cache
