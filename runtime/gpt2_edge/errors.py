"""The errors that this project raises on purpose.

Each message is one line that names the file or value, what was expected and what to do. The
command prints it and exits with status 2; anything else that escapes is a bug.
"""

from gpt2_edge.untrusted import one_line


class GPT2EdgeError(Exception):
    """Base of every error that this project raises on purpose: one printable line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class CheckpointError(GPT2EdgeError):
    """The checkpoint cannot be read, or is not a GPT-2 that this project can export."""


class ExportError(GPT2EdgeError):
    """The export cannot be carried out as asked."""


class PackageError(GPT2EdgeError):
    """The package is missing, damaged, or of a format that this version does not read."""


class ProviderError(GPT2EdgeError):
    """The execution provider is not installed, or cannot run this package's graph."""


class ContextOverflowError(GPT2EdgeError):
    """The prompt does not fit the model's context."""


class GenerationError(GPT2EdgeError, ValueError):
    """A generation setting or a prompt is out of its range."""


class EvaluationError(GPT2EdgeError, ValueError):
    """Evaluation data cannot be read, or an evaluation cannot be carried out as asked."""


class MissingDependencyError(GPT2EdgeError, ImportError):
    """An optional package is needed for what was asked; the message names it."""


def install_hint(extra: str) -> str:
    """How to install the optional dependencies `extra` (of pyproject.toml), for a message."""
    return f"pip install '.[{extra}]' in a clone of gpt2-edge"
