"""From a GPT-2 checkpoint to a gpt2-edge package; never imported by the runtime.

    from gpt2_edge_export import ExportOptions, export_package

    report = export_package("gpt2", "gpt2-int8", ExportOptions(recipe="int8"))

What is exported here is imported when it is first asked for: it needs the extra [export].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpt2_edge_export.export import ExportReport, export_package
    from gpt2_edge_export.options import ExportOptions

__all__ = ["ExportOptions", "ExportReport", "export_package"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gpt2_edge.errors import GPT2EdgeError, MissingDependencyError, install_hint

    try:
        from gpt2_edge_export import export
    except GPT2EdgeError:
        raise
    except ImportError as error:
        raise MissingDependencyError(
            f"exporting needs {error.name}: {install_hint('export')}"
        ) from error
    return getattr(export, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
