"""What goes wrong with a request, in OpenAI's shape, and which status it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2_edge.errors import (
    ContextOverflowError,
    GenerationError,
    GPT2EdgeError,
    MissingDependencyError,
)
from gpt2_edge.untrusted import one_line

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}


class ApiError(Exception):
    """An answer that is an error: `status`, and what stands in the body.

    param: the field of the request's body that it is about. retry_after: seconds, for 429 and 503.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, one_line(message)
        self.param, self.code, self.retry_after = param, code, retry_after

    def body(self) -> dict[str, Any]:
        """OpenAI's shape."""
        return {
            "error": {
                "message": self.message,
                "type": _TYPES.get(self.status, "invalid_request_error"),
                "param": self.param,
                "code": self.code,
            }
        }

    def headers(self) -> dict[str, str]:
        """What goes with the status."""
        found = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        if self.status == 401:
            found["www-authenticate"] = "Bearer"
        return found


def refused(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """The 400 for a request that cannot be carried out."""
    return ApiError(400, message, param=param, code=code)


def busy(message: str) -> ApiError:
    """The 429 for a request that has no place now."""
    return ApiError(429, message, code="rate_limit_exceeded", retry_after=1)


def shutting_down() -> ApiError:
    """The 503 of a server that ends."""
    return ApiError(503, "the server is shutting down", code="shutting_down", retry_after=5)


def as_api_error(error: Exception, folder: Path | None = None) -> ApiError:
    """`error` as an answer. Neither what is not foreseen nor the package's `folder` is shown."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ContextOverflowError):
        return refused(_without(str(error), folder), "prompt", "context_length_exceeded")
    if isinstance(error, (GenerationError, MissingDependencyError)):
        return refused(_without(str(error), folder))
    if isinstance(error, GPT2EdgeError):
        # It may name a file of the package; the line on standard error has all of it.
        return ApiError(500, "the package cannot carry this out; the server's log says why")
    return ApiError(500, "internal error; the server's log has more")


def _without(message: str, folder: Path | None) -> str:
    """`message` without the path of the package, which is this machine's business."""
    if folder is None:
        return message
    paths = sorted({str(folder), str(folder.absolute()), str(folder.resolve())}, key=len)
    for path in reversed(paths):
        if path not in (".", "/"):
            message = message.replace(path, "the package")
    return message
