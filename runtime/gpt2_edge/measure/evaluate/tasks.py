"""The tasks by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # nothing is loaded before a task is prepared: the command's --help has TASKS
    from gpt2_edge.generate import Generator
    from gpt2_edge.measure.evaluate.record import Evaluation, Show

TASKS = {
    "lambada": "the last word of a passage",
    "wikitext2": "perplexity of a raw text file, in overlapping windows",
    "winograd": "which noun a pronoun stands for",
    "cbt": "Children's Book Test: the missing word, of ten",
    "choice": "any choice between options",
}


def prepare(
    task: str,
    path: str | Path,
    limit: int | None = None,
    window: int | None = None,
    stride: int | None = None,
) -> Callable[[Generator, Show], Evaluation]:
    """Read the data of `task` (a key of TASKS); the function that evaluates a package on it.

    limit: only the first so many items (for wikitext2, lines). window, stride: of wikitext2, in
    tokens. Raises EvaluationError, in one line that names the file and the number of the line,
    for data that cannot be read, and for settings out of range.
    """
    from gpt2_edge.errors import EvaluationError
    from gpt2_edge.measure.evaluate import cbt, choice, lambada, wikitext2, winograd
    from gpt2_edge.untrusted import shown
    from gpt2_edge.values import whole_number

    if not isinstance(task, str) or task not in TASKS:
        raise EvaluationError(f"there is no task {shown(task)}; the tasks are {', '.join(TASKS)}")
    if limit is not None and (whole_number(limit) or 0) < 1:
        raise EvaluationError(f"the limit is {shown(limit)}; it must be a whole number, at least 1")
    path = Path(path)
    if task == "wikitext2":
        text = wikitext2.read(path, limit)
        return partial(wikitext2.evaluate, text, window=window, stride=stride)
    if window is not None or stride is not None:
        raise EvaluationError(f"{task} takes no window or stride; only wikitext2 does")
    if task == "lambada":
        return partial(lambada.evaluate, lambada.read(path, limit))
    if task == "winograd":
        return partial(winograd.evaluate, winograd.read(path, limit))
    if task == "cbt":
        return partial(cbt.evaluate, cbt.read(path, limit))
    return partial(choice.evaluate, choice.read(path, limit))
