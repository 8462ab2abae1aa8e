"""--html: a page, complete in itself, on which a text's attention is looked at.

It loads nothing and talks to nobody: a content policy lets its own script and style in by their
hashes, and nothing else. Weights are in it as 16-bit shares, all layers and heads that were asked
for.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib import resources

import numpy as np

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import one_line
from gpt2_edge_cli.attending.view import View

_MOST_WEIGHTS = 8_000_000  # a page of 21 MB
_WHOLE = 65535  # a share of one


def page(view: View, token: int) -> bytes:
    """The page's HTML, which begins with token number `token`.

    Raises GenerationError where the text has too many weights for a page.
    """
    style, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "POLICY": policy,
        "NAME": html.escape(one_line(view.name, 200)),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": _data(view, token),
    }
    # In one pass: what is put in may look like a place itself.
    return re.sub("@@([A-Z]+)@@", lambda place: parts[place[1]], _part("page.html")).encode()


def _data(view: View, token: int) -> str:
    """Texts and weights as JSON that cannot end the element it stands in."""
    weights = view.chosen
    layers, heads, count, _ = weights.shape
    size = layers * heads * (count * (count + 1) // 2)
    if size > _MOST_WEIGHTS:
        raise GenerationError(
            f"{count:,} tokens have {size:,} weights in {layers} layers of {heads} heads, and a "
            f"page holds {_MOST_WEIGHTS:,}; shorten the text, or choose with --layer and --head"
        )
    rows, keys = np.tril_indices(count)
    shares = np.rint(weights[:, :, rows, keys] * _WHOLE).astype("<u2")
    record = {
        "texts": view.texts,
        "layers": list(range(view.layers)) if view.layer is None else [view.layer],
        "heads": list(range(view.heads)) if view.head is None else [view.head],
        "start": token,
        "weights": base64.b64encode(shares.tobytes()).decode(),
    }
    # ASCII, so that no sign of a text steers an editor either.
    return json.dumps(record, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")


def _part(name: str) -> str:
    return (resources.files("gpt2_edge_cli.attending") / "page_parts" / name).read_text("utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
