"""GPT-2 on a device: load a package that `gpt2-edge export` wrote, and write text with it.

>>> from gpt2_edge import GenerationConfig, Generator
>>> generator = Generator.load("sample-int4")
>>> generator.generate("It was a dark night", GenerationConfig(max_new_tokens=20)).text
"""

from gpt2_edge._version import __version__
from gpt2_edge.config import GenerationConfig
from gpt2_edge.errors import (
    CheckpointError,
    ContextOverflowError,
    ExportError,
    GenerationError,
    GPT2EdgeError,
    MissingDependencyError,
    PackageError,
)
from gpt2_edge.generate import GenerationResult, Generator, NextToken, TextStream, Token

__all__ = [
    "CheckpointError",
    "ContextOverflowError",
    "ExportError",
    "GPT2EdgeError",
    "GenerationConfig",
    "GenerationError",
    "GenerationResult",
    "Generator",
    "MissingDependencyError",
    "NextToken",
    "PackageError",
    "TextStream",
    "Token",
    "__version__",
]
