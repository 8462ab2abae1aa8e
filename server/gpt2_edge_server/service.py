"""What all handlers share: the package, the engine, and the threads beside it."""

from __future__ import annotations

import secrets
import time

from gpt2_edge.decode.loop import Decoder
from gpt2_edge.decode.rows import make_rows
from gpt2_edge.errors import GPT2EdgeError
from gpt2_edge.generate import Generator
from gpt2_edge.text.chat import turns_of
from gpt2_edge_server.engine import Engine
from gpt2_edge_server.errors import ApiError, as_api_error
from gpt2_edge_server.held import Held
from gpt2_edge_server.memory import fitting_rows
from gpt2_edge_server.metrics import Metrics
from gpt2_edge_server.options import ServerOptions
from gpt2_edge_server.pool import Pool
from gpt2_edge_server.protocol import MOST_CONNECTIONS


class Service:
    """A package that is served. prepare: threads that tokenize and compile grammars; measure: the
    one that scores texts and gives attention; build: those that put answers together.

    Raises GenerationError where no row fits into the memory that the options allow.
    """

    def __init__(self, generator: Generator, options: ServerOptions) -> None:
        self.generator, self.options = generator, options
        self.name = options.name or generator.name
        self.created = int(time.time())
        self.metrics = Metrics()
        manifest = generator.manifest
        self.rows = fitting_rows(manifest, options.max_rows, options.max_cache_bytes)
        decoder = Decoder(make_rows(generator.session, self.rows, generator.context_length))
        self.engine = Engine(decoder, self.rows, options.max_queue, self.metrics)
        self.prepare = Pool("prepare", 2, self.engine.places)
        self.measure = Pool("measure", 1, self.engine.places)
        # For every connection: what has been computed is not refused.
        self.build = Pool("build", 2, 2 * MOST_CONNECTIONS)
        self.held = Held(self.engine.places, options.max_body_bytes)
        self.chat_kind, self.no_chat = _chat_kind(generator)

    def check_model(self, asked: str | None) -> None:
        """ApiError (404) where a request wants another model."""
        if asked is not None and asked not in (self.name, self.generator.name):
            raise ApiError(
                404,
                f"there is no model {asked!r} here; this server has {self.name!r}",
                param="model",
                code="model_not_found",
            )

    def api_error(self, error: Exception) -> ApiError:
        """`error` as an answer."""
        return as_api_error(error, self.generator.package.folder)

    def new_id(self, kind: str) -> str:
        """An identifier for an answer."""
        return f"{kind}-{secrets.token_hex(12)}"

    @staticmethod
    def created_now() -> int:
        """The time of an answer, in seconds since 1970."""
        return int(time.time())

    def stop(self) -> None:
        """End whatever runs."""
        self.engine.stop()
        self.prepare.stop()
        self.measure.stop()
        self.build.stop()


def _chat_kind(generator: Generator) -> tuple[str | None, str]:
    """How this package's conversations are put together; None with the reason where it has none."""
    none = "this model has neither a chat template nor DialoGPT's turns; use /v1/completions"
    if generator.tokenizer is None:
        return None, none
    try:
        kind = turns_of(generator.package, generator.tokenizer).kind
    except GPT2EdgeError:  # which may name files
        return (
            None,
            "the chat template of this model cannot be used; the server lacks jinja2, or "
            "the template is wrong",
        )
    return (None, none) if kind == "plain" else (kind, "")
