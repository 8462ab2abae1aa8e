"""gpt2-edge info: what a package is, and what a provider makes of it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gpt2_edge.errors import ProviderError
from gpt2_edge.untrusted import one_line
from gpt2_edge_cli import memory_bound
from gpt2_edge_cli.arguments import PROVIDERS, add_provider_options, provider_options
from gpt2_edge_cli.offering import offer

if TYPE_CHECKING:
    from gpt2_edge.files.package import Package

_BYTES = {"float32": 4, "float16": 2, "int8": 1}  # of a number in the cache
_EXAMPLES = """examples:
  gpt2-edge info PACKAGE
  gpt2-edge info PACKAGE --provider auto
  gpt2-edge info PACKAGE --json | jq .architecture
"""


def add_parser(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "info",
        help="describe a package",
        description="Describe a package from its manifest, without loading the model unless "
        "--provider asks how it is run.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("package", metavar="PACKAGE", help="folder that gpt2-edge export wrote")
    provider = parser.add_argument(
        "--provider",
        metavar="NAME",
        help="load the graph and say what an execution provider (or auto) takes of it",
    )
    offer(provider, PROVIDERS)
    add_provider_options(parser)
    parser.add_argument("--json", action="store_true", help="print the manifest itself")
    return parser


def _provider(package: Package, asked: str, given: dict[str, str]) -> str:
    """The provider that was taken, and the nodes of the graph by provider."""
    from gpt2_edge.graph.session import Session

    memory_bound.while_loading(os.fspath(package.folder), provider=asked)
    session = Session(package, provider=asked, provider_options=given, count_nodes=True)
    counted = (session.nodes or {}).items()
    nodes = ", ".join(f"{count} by {name}" for name, count in counted) or "not counted"
    singly = "; tokens one by one: it computes several in a step wrongly"
    why = f"; fallback: {session.fallback_reason}" if session.fallback_reason else ""
    return f"{session.provider}; nodes: {nodes}{singly if session.step_limit else ''}{why}"


def _rows(package: Package) -> dict[str, str]:
    """What the manifest says, by label."""
    manifest = package.manifest
    architecture, graph = manifest.architecture, manifest.graph
    # Keys and values of a token in every layer.
    elements = 2 * architecture.num_layers * architecture.num_heads * architecture.head_size
    cache_kib = elements * _BYTES[graph.cache_dtype] / 1024
    rows = {
        "name": manifest.name,
        "written by": manifest.created_by,
        "model": f"{architecture.num_layers} layers, width {architecture.hidden_size}, "
        f"{architecture.num_heads} heads",
        "vocabulary": f"{architecture.vocab_size:,} tokens",
        "context": f"{architecture.context_length:,} tokens",
        "recipe": _recipe(manifest.recipe),
        "graph": f"{graph.flavour}, {graph.cache} cache of {cache_kib:,.0f} KiB per token",
        "tokenizer": manifest.tokenizer or "none (token ids in and out)",
        "needs": f"ONNX Runtime {graph.min_onnxruntime} or later",
        "size": f"{package.total_bytes / 1e6:.1f} MB",
    }
    if manifest.quality:
        rows["quality"] = _quality(manifest.quality)
    return {name: value for name, value in rows.items() if value}


def _cached(package: Package) -> str:
    """What this machine keeps of the package."""
    from gpt2_edge.files.machine_cache import MachineCache, package_hash

    cache = MachineCache.default()
    if cache.folder is None:
        return f"none ({cache.problem})"
    wanted = package_hash(package)
    kept = sum(entry.bytes for entry in cache.entries() if entry.package_hash == wanted)
    return f"{kept / 1e6:,.1f} MB in {cache.folder}" if kept else f"nothing in {cache.folder}"


def _recipe(recipe: Mapping[str, Any]) -> str:
    """Name and bits of each group of matrices; the manifest's word for it, so of any shape."""
    bits = [
        f"{name} {form['bits']}"
        for name, form in recipe.items()
        if isinstance(form, dict) and type(form.get("bits")) is int
    ]
    return f"{recipe['name']} (bits: {', '.join(bits)})" if bits else str(recipe["name"])


def _quality(quality: Mapping[str, Any]) -> str:
    """What the export measured, as far as it says so."""

    def number(key: str, form: str) -> str | None:
        value = quality.get(key)
        return format(value, form) if type(value) in (int, float) else None

    perplexity, exact = number("perplexity", ".2f"), number("reference_perplexity", ".2f")
    divergence, tokens = number("mean_kl", ".5f"), number("tokens", ",")
    if perplexity is None or divergence is None:
        return ""
    compared = f" (fp32: {exact})" if exact else ""
    text = f" of {quality['text']}" if isinstance(quality.get("text"), str) else ""
    on = f" on {tokens} tokens{text}" if tokens else ""
    return f"perplexity {perplexity}{compared}, KL divergence {divergence}{on}"


def _printable_json(value: Any) -> str:
    """One line of JSON in which what could steer a terminal is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def run(options: argparse.Namespace) -> int:
    from gpt2_edge.files.package import open_package

    given = provider_options(options)
    if given and not options.provider:
        raise ProviderError("--provider-option goes with --provider NAME")
    package = open_package(options.package)
    manifest = package.manifest
    if options.json:
        print(_printable_json(json.loads(manifest.to_json())))
        return 0
    rows = _rows(package)
    if options.provider:
        rows["provider"] = _provider(package, options.provider, given)
    rows["cache"] = _cached(package)
    for name, value in rows.items():
        print(f"{name:<11}{one_line(value)}")
    for name, record in manifest.files.items():
        print(f"  {record.bytes:>13,}  {one_line(name)}")
    return 0
