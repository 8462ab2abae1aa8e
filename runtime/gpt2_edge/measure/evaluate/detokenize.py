"""Text from the Penn Treebank's tokens, of which the Children's Book Test is made."""

from __future__ import annotations

_WRITTEN = {
    "``": '"',
    "''": '"',
    "`": "'",
    "-LRB-": "(",
    "-RRB-": ")",
    "-LSB-": "[",
    "-RSB-": "]",
    "-LCB-": "{",
    "-RCB-": "}",
}
_OPENING = frozenset({"``", "`", "(", "[", "{", "$", "-LRB-", "-LSB-", "-LCB-"})
_CLOSING = frozenset(
    {".", ",", ";", ":", "!", "?", "...", "%", "''", "'", ")", "]", "}", "-RRB-", "-RSB-", "-RCB-"}
)
_ENDINGS = frozenset({"n't", "'s", "'m", "'d", "'ll", "'re", "'ve"})


def detokenize(text: str) -> str:
    """Undo the tokenization: quotes and brackets as people write them, spaces where they put some.

    Spaces go after opening quotes and brackets, and before punctuation, closing ones and endings
    such as n't and 's. A straight double quote may open or close, so it is left as it stands.
    """
    written: list[str] = []
    joined = True
    for token in text.split():
        if not joined and token not in _CLOSING and token.lower() not in _ENDINGS:
            written.append(" ")
        written.append(_WRITTEN.get(token, token))
        joined = token in _OPENING
    return "".join(written)
