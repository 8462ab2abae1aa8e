"""What begins with a slash: commands between turns."""

from __future__ import annotations

import difflib
import json
import os
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2_edge.errors import GenerationError
from gpt2_edge.untrusted import one_line, shown
from gpt2_edge_cli.parsing import whole_number
from gpt2_edge_cli.setting_options import CHAT_SETTINGS
from gpt2_edge_cli.whole_file import replace_whole

if TYPE_CHECKING:
    from gpt2_edge.config import EffectiveSettings
    from gpt2_edge_cli.chatting.conversation import Conversation

# Shown by /settings even where nobody has set them.
_ALWAYS = ("max_new_tokens", "do_sample", "temperature", "top_k", "top_p", "seed")

HELP = """/undo              take back the last turn
/retry             answer the last message again
/seed N            draw from here on, with seed N for the next answer, N + 1 for the one behind
/set NAME VALUE    a setting, as of generate: /set temperature 0.8; without VALUE: no longer
/settings          what is set, and what holds
/reset             forget all turns
/save FILE         write the turns to FILE (.json: as messages)
/help              this
/quit              end, as Ctrl-D does
A text that begins with a slash: //text. Ctrl-C ends an answer where it is."""


class Commands:
    """Carries commands out. again: answers a message; tell: shows a line to the person."""

    def __init__(
        self,
        conversation: Conversation,
        again: Callable[[str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._conversation, self._again, self._tell = conversation, again, tell
        self._saved: set[Path] = set()
        self._known: dict[str, Callable[[str], None]] = {
            "undo": self._undo,
            "retry": self._retry,
            "seed": self._seed,
            "set": self._set,
            "settings": self._settings,
            "reset": self._reset,
            "save": self._save,
            "help": lambda _: tell(HELP),
        }

    def run(self, line: str) -> bool:
        """Carry out the command on `line`; False where it ends the chat. Raises GenerationError."""
        name, _, rest = line.removeprefix("/").partition(" ")
        if name in ("quit", "exit"):
            return False
        command = self._known.get(name)
        if command is None:
            near = difflib.get_close_matches(name, [*self._known, "quit"], n=1)
            advice = f"did you mean /{near[0]}?" if near else "/help lists them"
            raise GenerationError(f"there is no command {shown('/' + name, 40)}; {advice} (a text "
                                  "that begins with a slash: //text)")  # fmt: skip
        command(rest.strip())
        return True

    def _undo(self, _: str) -> None:
        turn = self._conversation.undo()
        self._tell(f"taken back: {one_line(turn.message, 60) or 'the last text'}")

    def _retry(self, _: str) -> None:
        before = list(self._conversation.turns)
        turn = self._conversation.undo()
        if not self._conversation.settings().do_sample:
            self._tell("nothing is drawn, so the answer is the same; /seed N or /set temperature T "
                       "changes that")  # fmt: skip
        try:
            self._again(turn.message)
        except BaseException:
            self._conversation.turns = before
            raise

    def _seed(self, text: str) -> None:
        try:
            self._conversation.seed(whole_number(text))
        except ArgumentTypeError as error:
            raise GenerationError(f"/seed {error}") from error

    def _set(self, text: str) -> None:
        name, _, value = text.partition(" ")
        if not name:
            raise GenerationError(f"/set takes a name and a value; the names are "
                                  f"{', '.join(CHAT_SETTINGS)}")  # fmt: skip
        self._conversation.set(name, value.strip())
        name = name.lstrip("-").replace("-", "_")
        self._tell(self._line(name, self._conversation.settings()))

    def _settings(self, _: str) -> None:
        settings = self._conversation.settings()
        for name in CHAT_SETTINGS:
            if self._conversation.is_set(name) or name in _ALWAYS:
                self._tell(self._line(name, settings))

    def _line(self, name: str, settings: EffectiveSettings) -> str:
        value = one_line(json.dumps(getattr(settings, name), ensure_ascii=False), 200)
        return f"{name} {value}{'' if self._conversation.is_set(name) else '  (not set)'}"

    def _reset(self, _: str) -> None:
        self._conversation.reset()

    def _save(self, name: str) -> None:
        if not name:
            raise GenerationError("/save takes the name of a file")
        file = Path(name)
        messages = self._conversation.messages()
        content = json.dumps(messages, ensure_ascii=False, indent=1) + "\n"
        if file.suffix != ".json":
            begin = {"user": "> ", "assistant": ""}
            content = "".join(f"{begin[m['role']]}{m['content']}\n" for m in messages)
        try:
            if file not in self._saved and os.path.lexists(file):
                raise GenerationError(f"{name} is there already; give another name")
            replace_whole(file, content.encode())
        except (OSError, ValueError) as error:
            if isinstance(error, GenerationError):
                raise
            reason = getattr(error, "strerror", None) or error
            raise GenerationError(f"{name} cannot be written ({reason})") from error
        self._saved.add(file)
        self._tell(f"{len(messages) // 2} turns are in {one_line(name, 200)}")
