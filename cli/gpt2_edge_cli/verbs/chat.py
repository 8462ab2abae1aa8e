"""gpt2-edge chat: turn by turn with a package."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import GenerationError, GPT2EdgeError
from gpt2_edge_cli import streams
from gpt2_edge_cli.arguments import add_package, load, load_assistant, utf_8
from gpt2_edge_cli.interrupt import ChatInterrupt
from gpt2_edge_cli.offering import offer
from gpt2_edge_cli.setting_options import (
    IDS_NOTE,
    NOT_OF_A_CHAT,
    add_settings,
    given_settings,
    one_line_help,
)
from gpt2_edge_cli.signals import Loading
from gpt2_edge_cli.terminal import Screen, counted

if TYPE_CHECKING:
    from gpt2_edge.result import GenerationResult
    from gpt2_edge_cli.chatting.conversation import Conversation

_KINDS = ("template", "eos", "plain")  # gpt2_edge.text.chat.KINDS, which takes a while to load

_EXAMPLES = f"""Turns are put together by the chat template in tokenizer_config.json (which needs
jinja2), else as DialoGPT's, each ended by the end-of-text token, if config.json has
task_specific_params.conversational or the name has DialoGPT in it. Any other package goes on with
what you type: each text begins a new line, and Enter alone lets it write on. --turns says
otherwise. {IDS_NOTE}

/help lists the commands between turns: /undo, /retry, /seed, /set, /settings, /reset, /save,
/quit. Ctrl-C ends an answer where it is, Ctrl-D the chat. Off a terminal each line of standard
input is a turn or a command; the status is 2 if one of them could not be carried out.

examples:
  gpt2-edge chat PACKAGE
  gpt2-edge chat PACKAGE --temperature 0.8 --top-p 0.95 --stop "\\n"
  gpt2-edge chat PACKAGE --turns eos --stats
  printf 'Hello\\nHow are you?\\n' | gpt2-edge chat PACKAGE
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "chat",
        help="talk with a package, turn by turn",
        description="Talk with a package, turn by turn; each turn reads only its own tokens.",
        epilog=_EXAMPLES,
        formatter_class=one_line_help,
    )
    add_package(parser)
    add = parser.add_argument
    offer(add("--turns", metavar="KIND", help="template, eos or plain"), _KINDS)
    add("--system", metavar="TEXT", help="a message in front, for a template")
    add("--stats", action="store_true", help="a line of figures behind each answer")
    add("--assistant", metavar="PACKAGE", help="a small package that guesses, for speed")
    add_settings(parser, without=NOT_OF_A_CHAT)
    return parser


def run(options: argparse.Namespace) -> int:
    if options.turns not in (None, *_KINDS):
        raise GenerationError(f"--turns is one of {', '.join(_KINDS)}")
    system = None if options.system is None else utf_8(options.system, "--system")
    settings = given_settings(options)
    with Loading():
        from gpt2_edge.text.chat import turns_of
        from gpt2_edge_cli.chatting.conversation import Conversation
    generator = load(options)
    if generator.tokenizer is None:
        raise GenerationError(f"{generator.package.folder} has no tokenizer; a chat is of text")
    turns = turns_of(generator.package, generator.tokenizer, options.turns, system)
    assistant = load_assistant(options)
    chat = Chat(Conversation(generator, turns, settings, assistant), options.stats)
    if chat.at_terminal:
        streams.note(f"{generator.name}, {turns.kind} turns; /help lists commands, Ctrl-D ends")
    return chat.run()


class Chat:
    """Reads lines, answers them, and carries out the commands between them."""

    def __init__(self, conversation: Conversation, stats: bool) -> None:
        from gpt2_edge_cli.chatting.commands import Commands
        from gpt2_edge_cli.chatting.lines import line_reader

        self.at_terminal = streams.is_terminal(sys.stdin) and streams.is_terminal(sys.stdout)
        self._conversation, self._stats = conversation, stats
        self._screen = Screen()
        self._commands = Commands(conversation, self._answer, streams.note)
        self._read = line_reader()
        self._interrupt = ChatInterrupt()

    def run(self) -> int:
        """Until the end; 2 where a line of a file or pipe could not be carried out."""
        from gpt2_edge_cli.chatting.lines import EndlessError

        failed = False
        with self._interrupt:
            while True:
                try:
                    with self._interrupt.heard():
                        line = self._read()
                        if line is None or not self._do(line):
                            break
                except KeyboardInterrupt:
                    if not self.at_terminal:
                        raise
                    self._screen.write("\n")
                    streams.note("Ctrl-D or /quit ends the chat")
                except GPT2EdgeError as error:
                    if isinstance(error, EndlessError):
                        raise
                    failed = True
                    streams.say(str(error))
        return 2 if failed and not self.at_terminal else 0

    def _do(self, line: str) -> bool:
        """Answer a line, or carry it out; False where it ends the chat."""
        if line.startswith("/") and not line.startswith("//"):
            return self._commands.run(line.rstrip())
        self._answer(line.removeprefix("/") if line.startswith("//") else line)
        return True

    def _answer(self, message: str) -> None:
        written = False

        def write(piece: str) -> None:
            nonlocal written
            written = True
            self._screen.write(piece)

        before = len(self._conversation.turns)
        try:
            with self._interrupt.writing() as stop:
                result = self._conversation.answer(message, stop, write)
        finally:
            if written:
                self._screen.write("\n")
        if not result.ids:
            streams.note("nothing was written, so the turn does not count")
            return
        if not written:  # an end-of-text token, and nothing else
            self._screen.write("\n")
        if self._conversation.forgotten:
            turns = counted(self._conversation.forgotten, "turn")
            streams.note(f"[the context is full: the oldest {turns} of {before} are forgotten]")
        if self._stats:
            streams.note(_figures(result, len(self._conversation.turns)))


def _figures(result: GenerationResult, turn: int) -> str:
    read = result.prompt_tokens - result.cached_tokens
    parts = [
        f"turn {turn}: {counted(read, 'token')} read, {result.cached_tokens:,} cached",
        f"{len(result.ids):,} written ({result.finish_reason})",
    ]
    if result.seed is not None:
        parts.append(f"seed {result.seed}")
    if result.decode_tokens_per_second:
        parts.append(f"{result.decode_tokens_per_second:,.0f} tokens/s")
    return f"[{'; '.join(parts)}]"
