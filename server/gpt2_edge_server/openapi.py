"""GET /openapi.json; its bodies are those that requests are checked against."""

from __future__ import annotations

from typing import Any

import msgspec

from gpt2_edge._version import __version__
from gpt2_edge_server.bodies import (
    AttentionBody,
    Body,
    ChatBody,
    CompletionBody,
    DetokenizeBody,
    NextBody,
    ScoreBody,
    TokenizeBody,
)

_REFERENCE = "#/components/schemas/{name}"
_TEXT, _WHOLE, _REAL, _TRUTH = (
    {"type": kind} for kind in ("string", "integer", "number", "boolean")
)
_NONE = {"type": "null"}

_CHOICES: dict[str, Any] = {
    "id": _TEXT,
    "object": _TEXT,
    "created": _WHOLE,
    "model": _TEXT,
    "choices": {"type": "array"},
}

# path, summary, body, what an answer has at least
_POSTS: tuple[tuple[str, str, type[Body] | None, dict[str, Any]], ...] = (
    (
        "/v1/completions",
        "Write on behind prompts; a stream with stream: true",
        CompletionBody,
        _CHOICES,
    ),
    (
        "/v1/chat/completions",
        "Answer the last message of a conversation",
        ChatBody,
        _CHOICES,
    ),
    (
        "/tokenize",
        "A text as tokens",
        TokenizeBody,
        {
            "count": _WHOLE,
            "max_model_len": _WHOLE,
            "tokens": {"type": "array", "items": _WHOLE},
            "dropped_chars": _WHOLE,
        },
    ),
    ("/detokenize", "Tokens as a text", DetokenizeBody, {"prompt": _TEXT}),
    (
        "/next",
        "The likeliest next tokens, and how settings would draw them",
        NextBody,
        {
            "options": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["id", "text", "probability", "drawn"],
                    "properties": {
                        "id": _WHOLE, "text": _TEXT, "probability": _REAL, "drawn": _REAL
                    },
                },
            },
            "draw": {"type": ["object", "null"]},
            "dropped_chars": _WHOLE,
        },
    ),
    (
        "/score",
        "How likely each token of a text is",
        ScoreBody,
        {
            "tokens": {"type": "array", "items": {"type": "object"}},
            "perplexity": {"anyOf": [_REAL, _NONE]},
            "dropped_chars": _WHOLE,
        },
    ),
    (
        "/attention",
        "With what weights the tokens of a text attend to each other",
        AttentionBody,
        {
            "tokens": {"type": "array", "items": {"type": "object"}},
            "layers": _WHOLE,
            "heads": _WHOLE,
            "attention": {"type": "array"},
            "dropped_chars": _WHOLE,
        },
    ),
    (
        "/selftest",
        "Whether this machine computes what the exporting one did",
        None,
        {"passed": _TRUTH, "problems": {"type": "array", "items": _TEXT}},
    ),
)  # fmt: skip
_GETS = (
    ("/v1/models", "The model, in OpenAI's list", "application/json"),
    ("/v1/models/{id}", "The model, as OpenAI describes one", "application/json"),
    ("/model", "What the package is", "application/json"),
    ("/health", "Whether the server takes requests", "application/json"),
    ("/metrics", "What it counts, for Prometheus", "text/plain"),
)
_ERRORS = {
    "400": "The request cannot be carried out",
    "401": "The key is missing or wrong",
    "403": "A page of another site asks",
    "404": "There is no such model or path",
    "408": "The body came too slowly",
    "413": "The body is too large",
    "415": "The body is not said to be JSON",
    "429": "All places are taken; Retry-After says when to try again",
    "503": "The server is shutting down",
}


def openapi_document(name: str, with_key: bool) -> dict[str, Any]:
    """OpenAPI 3.1 of the server that serves the model `name`; with_key: requests need one."""
    bodies = [body for _, _, body, _ in _POSTS if body is not None]
    _, schemas = msgspec.json.schema_components(bodies, ref_template=_REFERENCE)
    schemas["Error"] = _object(
        {
            "error": _object(
                {
                    "message": _TEXT,
                    "type": _TEXT,
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                }
            )
        }
    )
    paths: dict[str, Any] = {}
    for path, summary, body, answer in _POSTS:
        operation = _operation(summary, "application/json", _object(answer))
        if body is not None:
            schema = {"$ref": _REFERENCE.format(name=body.__name__)}
            operation["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": schema}},
            }
        if path.startswith("/v1/"):
            operation["responses"]["200"]["content"]["text/event-stream"] = {"schema": _TEXT}
        paths[path] = {"post": operation}
    for path, summary, kind in _GETS:
        schema = _TEXT if kind == "text/plain" else {"type": "object"}
        operation = _operation(summary, kind, schema)
        if "{id}" in path:
            operation["parameters"] = [
                {"name": "id", "in": "path", "required": True, "schema": _TEXT}
            ]
        if path == "/health":
            operation["security"] = []
        paths[path] = {"get": operation}
    components: dict[str, Any] = {"schemas": schemas}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": f"gpt2-edge: {name}", "version": __version__},
        "paths": paths,
        "components": components,
    }
    if with_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document


def _operation(summary: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        "200": {"description": "Done", "content": {kind: {"schema": schema}}}
    }
    error = {"schema": {"$ref": _REFERENCE.format(name="Error")}}
    for status, description in _ERRORS.items():
        responses[status] = {"description": description, "content": {"application/json": error}}
    return {"summary": summary, "responses": responses}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}
