"""What the server says of itself: the model, whether it is well, what it counts."""

from __future__ import annotations

import asyncio
from typing import Any

from gpt2_edge._version import __version__
from gpt2_edge.measure.selftest import run_self_test
from gpt2_edge_server.errors import ApiError, shutting_down
from gpt2_edge_server.exchange import Exchange
from gpt2_edge_server.groups import groups_of, parameters_of
from gpt2_edge_server.metrics import CONTENT_TYPE
from gpt2_edge_server.openapi import openapi_document
from gpt2_edge_server.service import Service


class Description:
    """Handlers of GET requests, and of the self-test."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._document = openapi_document(service.name, service.options.api_key is not None)
        self._groups = groups_of(service.generator.package)
        self._testing: asyncio.Future[list[str]] | None = None

    async def models(self, exchange: Exchange) -> None:
        """GET /v1/models."""
        await exchange.json({"object": "list", "data": [self._model()]})

    async def model(self, exchange: Exchange) -> None:
        """GET /v1/models/{id}."""
        self._service.check_model(exchange.path_params["id"])
        await exchange.json(self._model())

    async def describe(self, exchange: Exchange) -> None:
        """GET /model."""
        await exchange.json(self.record())

    async def self_test(self, exchange: Exchange) -> None:
        """POST /selftest."""
        exchange.require_json()
        generator = self._service.generator
        if generator.manifest.self_test is None:
            raise ApiError(404, "this package has no self-test")
        # One for all who ask meanwhile: it is dear, and scores and attention wait behind it.
        if self._testing is None or self._testing.done():
            run = self._service.measure.run(lambda gone: run_self_test(generator))
            self._testing = asyncio.ensure_future(run)
        problems = await asyncio.shield(self._testing)
        await exchange.json({"passed": not problems, "problems": problems})

    async def openapi(self, exchange: Exchange) -> None:
        """GET /openapi.json."""
        await exchange.json(self._document)

    async def health(self, exchange: Exchange) -> None:
        """GET /health."""
        if self._service.engine.closing:
            raise shutting_down()
        await exchange.json({"status": "ok"})

    async def metrics(self, exchange: Exchange) -> None:
        """GET /metrics."""
        await exchange.raw(self._service.metrics.text(), CONTENT_TYPE)

    def record(self) -> dict[str, Any]:
        """See the brief of GET /model in docs/SERVER.md."""
        generator = self._service.generator
        manifest = generator.manifest
        architecture = manifest.architecture
        return {
            "name": self._service.name,
            "recipe": str(manifest.recipe.get("name", "unknown")),
            "version": __version__,
            "context_length": architecture.context_length,
            "vocab_size": architecture.vocab_size,
            "layers": architecture.num_layers,
            "heads": architecture.num_heads,
            "width": architecture.hidden_size,
            "parameters": sum(parameters_of(architecture).values()),
            "provider": generator.session.provider,
            "chat": self._service.chat_kind is not None,
            "attention": generator.gives_attention,
            "total_bytes": generator.package.total_bytes,
            "files": [
                {"name": name, "bytes": record.bytes, "sha256": record.sha256}
                for name, record in manifest.files.items()
            ],
            "groups": self._groups,
            "quality": manifest.quality,
        }

    def _model(self) -> dict[str, Any]:
        service = self._service
        return {
            "id": service.name,
            "object": "model",
            "created": service.created,
            "owned_by": "gpt2-edge",
            "max_model_len": service.generator.context_length,
        }
