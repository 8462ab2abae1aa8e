"""gpt2-edge serve: a package behind OpenAI's endpoints, with a page to look at it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import GenerationError, MissingDependencyError, install_hint
from gpt2_edge.untrusted import UnreadableError, read_bytes, shown
from gpt2_edge_cli import memory_bound, streams
from gpt2_edge_cli.arguments import add_package, load, utf_8
from gpt2_edge_cli.signals import Loading

if TYPE_CHECKING:
    from gpt2_edge_server.options import ServerOptions

_EXAMPLES = """The page is at the address that is printed, OpenAI's endpoints at /v1 there: clients
take http://127.0.0.1:8080/v1 as their base URL. docs/SERVER.md has all of them. Only this machine
can reach it unless --host says otherwise.

Ctrl-C or SIGTERM ends it: running texts have --grace seconds, and are cut at a second one. The
status is then 130 or 143.

examples:
  gpt2-edge serve PACKAGE
  gpt2-edge serve PACKAGE --port 0 --max-rows 4 --max-cache-mb 256
  gpt2-edge serve PACKAGE --host 0.0.0.0 --api-key-file key.txt
"""
_KEY_LIMIT = 4096
_MOST_ROWS, _MOST_QUEUE = 256, 4096


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "serve",
        help="serve a package over HTTP: OpenAI's endpoints, and a page",
        description="Serve a package over HTTP: OpenAI's endpoints, and a page that shows what "
        "the model does.",
        epilog=_EXAMPLES,
    )
    add_package(parser)
    add = parser.add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (127.0.0.1: this "
        "machine only)")  # fmt: skip
    add("--port", type=int, default=8080, metavar="N", help="default: 8080; 0 takes a free one")
    add("--name", metavar="NAME", help="of the model (default: the package's)")
    add("--max-rows", type=int, default=8, metavar="N", help="texts written at the same time (8)")
    add("--max-queue", type=int, default=64, metavar="N", help="texts that may wait (64)")
    add("--max-cache-mb", type=float, metavar="MB", help="for keys and values of all rows")
    add("--max-body-kb", type=int, default=1024, metavar="KB", help="of a request (1024)")
    add("--grace", type=float, default=10.0, metavar="SECONDS", help="for running texts when the "
        "server ends (10)")  # fmt: skip
    add("--timeout", type=float, default=600.0, metavar="SECONDS", help="after which a text ends "
        "where it is (600)")  # fmt: skip
    add("--api-key", metavar="KEY", help="that requests must bring")
    add("--api-key-file", metavar="FILE", help="... from a file, which other users cannot list")
    add("--cors", action="append", default=[], metavar="ORIGIN", help="whose pages may use the "
        "server, such as https://example.org (repeatable; * for all)")  # fmt: skip
    return parser


def run(options: argparse.Namespace) -> int:
    with Loading():
        try:
            from gpt2_edge_server.options import ServerOptions
            from gpt2_edge_server.serving import Serving, listening
        except ImportError as error:
            if (error.name or "").startswith("gpt2_edge"):
                raise
            raise MissingDependencyError(
                f"serve needs {error.name}: {install_hint('server')}"
            ) from error
    asked = _options(options, ServerOptions)
    sock = listening(asked.host, asked.port)
    try:
        serving = Serving(load(options), asked, sock, streams.say)
    except BaseException:
        sock.close()
        raise
    memory_bound.lift()  # the server bounds rows, queues and answers itself
    service = serving.service
    if service.rows < asked.max_rows:
        streams.note(f"--max-cache-mb has room for {service.rows} of {asked.max_rows} rows")
    streams.note(f"{service.name} at {serving.address} ({service.rows} rows); Ctrl-C ends it")
    if not serving.loopback:
        streams.note("warning: other machines can reach it" + (
            "" if asked.api_key else ", and no --api-key keeps them out"))  # fmt: skip
    number = serving.run()
    return 0 if number is None else 128 + number


def _options(options: argparse.Namespace, make: type[ServerOptions]) -> ServerOptions:
    """What the command line says, checked."""
    for name, least, most in (
        ("max_rows", 1, _MOST_ROWS),
        ("max_queue", 0, _MOST_QUEUE),
        ("max_body_kb", 1, 1 << 20),
        ("max_cache_mb", 0, 1e9),
        ("grace", 0, 86400),
        ("timeout", 0.001, 86400),
    ):
        value = getattr(options, name)
        if value is not None and not least <= value <= most:
            raise GenerationError(
                f"--{name.replace('_', '-')} is {shown(value, 20)}; it must be from {least:g} to "
                f"{most:g}"
            )
    cache = options.max_cache_mb
    return make(
        host=utf_8(options.host, "--host"),
        port=options.port,
        max_rows=options.max_rows,
        max_queue=options.max_queue,
        max_cache_bytes=None if cache is None else int(cache * 1e6),
        max_body_bytes=options.max_body_kb << 10,
        grace=options.grace,
        timeout=options.timeout,
        api_key=_key(options),
        cors=tuple(_origin(origin) for origin in options.cors),
        name=None if options.name is None else utf_8(options.name, "--name"),
    )


def _key(options: argparse.Namespace) -> str | None:
    if options.api_key_file is None:
        key = options.api_key
        where = "--api-key"
    else:
        if options.api_key is not None:
            raise GenerationError("give the key with --api-key or with --api-key-file, not both")
        where = options.api_key_file
        try:
            key = read_bytes(Path(where), _KEY_LIMIT).decode().strip()
        except FileNotFoundError as error:
            raise GenerationError(f"{where}: there is no such file") from error
        except UnicodeDecodeError as error:
            raise GenerationError(f"{where} is not UTF-8 text") from error
        except UnreadableError as error:
            raise GenerationError(f"{where} cannot be read: {error}") from error
    if key is None:
        return None
    if not (key.isascii() and key.isprintable() and key and " " not in key):
        raise GenerationError(f"{where}: a key is printable ASCII without spaces")
    return str(key)


def _origin(origin: str) -> str:
    scheme, separator, host = origin.partition("://")
    if origin != "*" and not (
        separator and scheme in ("http", "https") and host and "/" not in host
    ):
        raise GenerationError(
            f"--cors is {shown(origin)}; give an origin such as https://example.org, or *"
        )
    return origin
