"""--png: the weights as a heat map, drawn by matplotlib where it is installed."""

from __future__ import annotations

import io
import logging
from typing import Any

from gpt2_edge.errors import MissingDependencyError, install_hint
from gpt2_edge.untrusted import one_line
from gpt2_edge_cli.attending.view import View
from gpt2_edge_cli.terminal import visible

_INCH_PER_TOKEN, _MARGINS = 0.28, 2.2
_LEAST_INCHES, _MOST_INCHES = 5.0, 24.0
_DOTS_PER_INCH = 120
_LABELS = 80  # tokens that are named beside the map; of longer texts, some


def require_matplotlib() -> None:
    """Raise MissingDependencyError where there is none."""
    _matplotlib()


def heat_map(view: View) -> bytes:
    """A PNG of the weights: a row for each token, a column for each that it attends to."""
    figure_class, canvas_class = _matplotlib()
    count, weights = len(view.texts), view.weights
    inches = min(max(_LEAST_INCHES, count * _INCH_PER_TOKEN + _MARGINS), _MOST_INCHES)
    figure = figure_class(figsize=(inches + 1, inches), layout="constrained")
    canvas_class(figure)
    axes = figure.add_subplot()
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=float(weights.max()))
    figure.colorbar(image, ax=axes, label="share of a row's attention", shrink=0.8)
    step = -(-count // _LABELS)
    places = range(0, count, step)
    labels = [one_line(visible(view.texts[i]), 24) for i in places]
    plain = {"fontsize": 8, "parse_math": False}  # a token may be a dollar sign
    axes.set_xticks(places, labels, rotation=90, **plain)
    axes.set_yticks(places, labels, **plain)
    axes.set_xlabel("... attends to")
    axes.set_ylabel("token ...")
    axes.set_title(f"{one_line(view.name, 60)}: {view.what}", fontsize=10, parse_math=False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return content.getvalue()


def _matplotlib() -> tuple[Any, Any]:
    """Its figure, and the canvas that needs no screen."""
    # It tells of its font cache and of folders that it cannot write, which is nobody's question.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(f"--png needs matplotlib: {install_hint('plot')}") from error
    return Figure, FigureCanvasAgg
