"""What may import what: docs/ARCHITECTURE.md's layers, one above the other, none in a circle."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "gpt2_edge": "runtime",
    "gpt2_edge_export": "export",
    "gpt2_edge_server": "server",
    "gpt2_edge_cli": "cli",
}
LONGEST = 300  # lines of a file

# From the ground up. A layer may import what stands above it in this list, and its own files.
LAYERS = [
    "gpt2_edge._version",
    "gpt2_edge.untrusted",
    "gpt2_edge.errors",
    "gpt2_edge.values",
    "gpt2_edge.status",
    "gpt2_edge.result",
    "gpt2_edge.closing",
    "gpt2_edge.drawing",
    "gpt2_edge.sampling",
    "gpt2_edge.files",
    "gpt2_edge.text",
    "gpt2_edge.graph",
    "gpt2_edge.decode",
    "gpt2_edge.settings",
    "gpt2_edge.config",
    "gpt2_edge.prompts",
    "gpt2_edge.model",
    "gpt2_edge.assistant",
    "gpt2_edge.prompt_cache",
    "gpt2_edge.requests",
    "gpt2_edge.records",
    "gpt2_edge.jobs",
    "gpt2_edge.stream",
    "gpt2_edge.calls",
    "gpt2_edge.generate",
    "gpt2_edge.measure",
    "gpt2_edge.ray",
    "gpt2_edge",  # its public names
    "gpt2_edge.__main__",
    "gpt2_edge_export.progress",
    "gpt2_edge_export.checkpoint",
    "gpt2_edge_export.tokenizer",
    "gpt2_edge_export.texts",
    "gpt2_edge_export.quantize",
    "gpt2_edge_export.blank_weights",
    "gpt2_edge_export.graph",
    "gpt2_edge_export.calibrate",
    "gpt2_edge_export.measure",
    "gpt2_edge_export.output",
    "gpt2_edge_export.options",
    "gpt2_edge_export.draft",
    "gpt2_edge_export.search",
    "gpt2_edge_export.mixed",
    "gpt2_edge_export.export",
    "gpt2_edge_export",  # its public names
    "gpt2_edge_server.options",
    "gpt2_edge_server.errors",
    "gpt2_edge_server.metrics",
    "gpt2_edge_server.protocol",
    "gpt2_edge_server.memory",
    "gpt2_edge_server.held",
    "gpt2_edge_server.pool",
    "gpt2_edge_server.engine",
    "gpt2_edge_server.service",
    "gpt2_edge_server.exchange",
    "gpt2_edge_server.bodies",
    "gpt2_edge_server.settings",
    "gpt2_edge_server.prompts",
    "gpt2_edge_server.scoring",
    "gpt2_edge_server.logprobs",
    "gpt2_edge_server.texts",
    "gpt2_edge_server.plan",
    "gpt2_edge_server.completions",
    "gpt2_edge_server.chat",
    "gpt2_edge_server.looking",
    "gpt2_edge_server.attention",
    "gpt2_edge_server.groups",
    "gpt2_edge_server.openapi",
    "gpt2_edge_server.description",
    "gpt2_edge_server.static",
    "gpt2_edge_server.endpoint",
    "gpt2_edge_server.guard",
    "gpt2_edge_server.app",
    "gpt2_edge_server.serving",
    "gpt2_edge_server",
    "gpt2_edge_cli",
]


def modules() -> dict[str, Path]:
    found = {}
    for package, folder in FOLDERS.items():
        for file in (ROOT / folder / package).rglob("*.py"):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


def imports(module: str) -> Iterator[str]:
    """Modules of ours that `module` imports anywhere, for type checkers only too."""
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                part = f"{node.module}.{alias.name}"
                yield part if part in MODULES else node.module


def layer(module: str) -> int:
    """The number of the layer that `module` is in."""
    while module not in LAYERS:
        assert "." in module, f"{module} is in no layer of this test"
        module = module.rpartition(".")[0]
    return LAYERS.index(module)


def test_every_file_is_in_a_layer() -> None:
    for module in MODULES:
        package = module.partition(".")[0]
        own = LAYERS[layer(module)]
        # The packages' own layers are for their public names, not for whatever is put there.
        assert own != package or package == "gpt2_edge_cli" or module == package, module


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_import_goes_up(module: str) -> None:
    # The package's own public names load what they need when they are asked for.
    if module in ("gpt2_edge", "gpt2_edge_export"):
        return
    upward = [other for other in imports(module) if layer(other) > layer(module)]
    assert not upward


def test_no_circle() -> None:
    edges = defaultdict(set)
    for module in MODULES:
        # Public names come last; nothing can go round through them that is not a circle without.
        if module not in ("gpt2_edge", "gpt2_edge_export"):
            edges[module] = set(imports(module)) - {module}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for other in sorted(edges[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in sorted(MODULES):
        visit(module, ())


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_file_is_short(module: str) -> None:
    lines = MODULES[module].read_text("utf-8").count("\n")
    assert lines <= LONGEST, f"{MODULES[module].name} has {lines} lines: it holds two ideas"
