"""gpt2-edge info: what a package is, and what a provider makes of it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from gpt2_edge.commands.arguments import add_provider_options, provider_options
from gpt2_edge.errors import ProviderError

if TYPE_CHECKING:
    from gpt2_edge.package import Package

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
    parser.add_argument(
        "--provider",
        metavar="NAME",
        help="load the graph and say what an execution provider (or auto) takes of it",
    )
    add_provider_options(parser)
    parser.add_argument("--json", action="store_true", help="print the manifest itself")
    return parser


def _provider(package: Package, asked: str, given: dict[str, str]) -> str:
    """The provider that was taken, and the nodes of the graph by provider."""
    from gpt2_edge.session import Session

    session = Session(package, provider=asked, provider_options=given, count_nodes=True)
    assert session.nodes is not None  # it counted them
    nodes = ", ".join(f"{count} by {name}" for name, count in session.nodes.items())
    singly = "; tokens one by one: it computes several in a step wrongly"
    return f"{session.provider}; nodes: {nodes}{singly if session.step_limit else ''}"


def run(options: argparse.Namespace) -> int:
    from gpt2_edge.package import open_package

    given = provider_options(options)
    if given and not options.provider:
        raise ProviderError("--provider-option goes with --provider NAME")
    package = open_package(options.package)
    manifest = package.manifest
    if options.json:
        print(json.dumps(json.loads(manifest.to_json()), ensure_ascii=False))
        return 0
    architecture, graph = manifest.architecture, manifest.graph
    groups = {name: form for name, form in manifest.recipe.items() if isinstance(form, dict)}
    weights = ", ".join(f"{name} {form['bits']}" for name, form in groups.items())
    cache_bytes = 8 * architecture.num_layers * architecture.num_heads * architecture.head_size
    rows = {
        "name": manifest.name,
        "written by": manifest.created_by,
        "model": f"{architecture.num_layers} layers, width {architecture.hidden_size}, "
        f"{architecture.num_heads} heads",
        "vocabulary": f"{architecture.vocab_size:,} tokens",
        "context": f"{architecture.context_length:,} tokens",
        "recipe": f"{manifest.recipe['name']} (bits: {weights})",
        "graph": f"{graph.flavour}, {graph.cache} cache of {cache_bytes / 1024:.0f} KiB a token",
        "tokenizer": manifest.tokenizer or "none (token ids in and out)",
        "needs": f"ONNX Runtime {graph.min_onnxruntime} or later",
        "size": f"{package.total_bytes / 1e6:.1f} MB",
    }
    quality = manifest.quality or {}
    if "mean_kl" in quality:
        rows["quality"] = (
            f"perplexity {quality['perplexity']:.2f} "
            f"(fp32: {quality['reference_perplexity']:.2f}), "
            f"KL divergence {quality['mean_kl']:.5f} "
            f"on {quality['tokens']:,} tokens of {quality['text']}"
        )
    if options.provider:
        rows["provider"] = _provider(package, options.provider, given)
    for name, value in rows.items():
        print(f"{name:<11}{value}")
    for name, record in manifest.files.items():
        print(f"  {record.bytes:>13,}  {name}")
    return 0
