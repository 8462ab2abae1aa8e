"""Text to token ids without the tokenizers library, id for id as it does it."""

from __future__ import annotations

from collections.abc import Iterator

from gpt2_edge.text.byte_level.added_tokens import AddedTokens, Part
from gpt2_edge.text.byte_level.around import Range
from gpt2_edge.text.byte_level.file import read_file
from gpt2_edge.text.byte_level.words import word_pattern
from gpt2_edge.text.decoder_steps import BYTE_OF_CHARACTER

# GPT-2's printable character of each byte.
_CHARACTERS = [character for character, _ in sorted(BYTE_OF_CHARACTER.items(), key=lambda i: i[1])]
# Words whose ids are remembered, and their characters.
_MOST_WORDS = 20_000
_LONGEST_WORD = 64


class ByteLevelTokenizer:
    """A tokenizer.json of GPT-2's kind. Threads may share one."""

    # Every decoder that the file may have can be carried out token by token.
    decode_whole = None

    def __init__(self, content: bytes) -> None:
        """From the bytes of tokenizer.json. Raises UnreadableError for what cannot be used."""
        self._content = content
        self._file = file = read_file(content)
        self.decoder = file.decoder
        self.added = {token.id: token.content for token in file.added}
        self.special = frozenset(token.content for token in file.added if token.special)
        self._added = AddedTokens(file.added)
        self._tokens = {number: token for token, number in file.vocabulary.items()} | self.added
        self._symbols = [file.vocabulary.get(character, -1) for character in _CHARACTERS]
        self._known: dict[str, list[int]] = {}

    @property
    def size(self) -> int:
        return len(self._tokens)

    def encode(self, text: str, add_special_tokens: bool, parse_special: bool) -> list[int]:
        around = self._file.around
        ids = list(around.before) if add_special_tokens else []
        for part in self._added.split(text, parse_special):
            if part.token_id is None:
                self._encode_words(text[part.start : part.end], ids)
            else:
                ids.append(part.token_id)
        return [*ids, *around.after] if add_special_tokens else ids

    def encode_with_offsets(
        self, text: str, add_special_tokens: bool, parse_special: bool
    ) -> tuple[list[int], list[Range]]:
        ids: list[int] = []
        tokens: list[str] = []
        ranges: list[Range] = []
        for part in self._added.split(text, parse_special):
            if part.token_id is None:
                for token, place in self._ranges(text, part):
                    ids.append(token)
                    tokens.append(self._tokens[token])
                    ranges.append(place)
            else:
                ids.append(part.token_id)
                tokens.append(text[part.start : part.end])
                ranges.append((part.start, part.end))
        around = self._file.around
        ranges = around.trimmed(tokens, ranges)
        if not add_special_tokens:
            return ids, ranges
        before, after = [(0, 0)] * len(around.before), [(0, 0)] * len(around.after)
        return [*around.before, *ids, *around.after], [*before, *ranges, *after]

    def token_of(self, token_id: int) -> str | None:
        return self._tokens.get(token_id)

    def vocabulary(self) -> dict[str, int]:
        return {token: number for number, token in self._tokens.items()}

    def to_json(self) -> str:
        return self._content.decode()

    def _words(self, text: str) -> list[str]:
        if self._file.add_prefix_space and not text.startswith(" "):
            text = f" {text}"
        return word_pattern().findall(text) if self._file.split_words else [text]

    def _encode_words(self, text: str, ids: list[int]) -> None:
        known = self._known
        for word in self._words(text):
            try:
                ids += known[word]
            except KeyError:
                ids += self._learn(word)

    def _learn(self, word: str) -> list[int]:
        ids = [token for token in self._merged(word)[0] if token >= 0]
        if len(word) <= _LONGEST_WORD:
            if len(self._known) >= _MOST_WORDS:
                self._known.clear()
            self._known[word] = ids
        return ids

    def _merged(self, word: str) -> tuple[list[int], list[int]]:
        """The ids of `word`, -1 for what was merged to the left, and each symbol's length.

        Lengths are in bytes of the printable characters, in which the library counts.
        """
        content, file = word.encode(), self._file
        if file.ignore_merges:
            whole = "".join(_CHARACTERS[byte] for byte in content)
            if whole in file.vocabulary:
                return [file.vocabulary[whole]], [len(whole.encode())]
        symbols = [self._symbols[byte] for byte in content]
        lengths = [_LENGTHS[byte] for byte in content]
        if -1 in symbols:
            symbols, lengths = self._with_unknown(symbols, lengths)
        return file.merges.apply(symbols), lengths

    def _with_unknown(self, symbols: list[int], lengths: list[int]) -> tuple[list[int], list[int]]:
        """What the vocabulary lacks becomes the unknown token, or goes where there is none."""
        unknown, fuse = self._file.unknown, self._file.fuse_unknown
        made: list[int] = []
        its_lengths: list[int] = []
        fused = False
        for symbol, length in zip(symbols, lengths, strict=True):
            if symbol >= 0:
                made.append(symbol)
                its_lengths.append(length)
            elif fused:
                its_lengths[-1] += length
            elif unknown is not None:
                made.append(unknown)
                its_lengths.append(length)
            fused = fuse and symbol < 0 and unknown is not None
        return made, its_lengths

    def _ranges(self, text: str, part: Part) -> Iterator[tuple[int, Range]]:
        """The ids of one part of `text` with the characters that each stands for."""
        words = self._words(text[part.start : part.end])
        # A space that was put before the part shares the range of its first character.
        at = part.start - (sum(map(len, words)) - (part.end - part.start))
        for word in words:
            owner = [
                max(part.start, at + number)
                for number, character in enumerate(word)
                for byte in character.encode()
                for _ in range(_LENGTHS[byte])
            ]
            at += len(word)
            begin = end = 0
            waiting = -1
            for token, length in zip(*self._merged(word), strict=True):
                if token >= 0:
                    if waiting >= 0:
                        yield waiting, (owner[begin], owner[end - 1] + 1)
                    waiting, begin = token, end
                end += length
            if waiting >= 0:
                yield waiting, (owner[begin], owner[end - 1] + 1)


_LENGTHS = [len(character.encode()) for character in _CHARACTERS]
