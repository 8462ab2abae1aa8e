"""A package while it is being written: graph, manifest and what lies beside them, in a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt2_edge import Generator
from gpt2_edge._version import __version__
from gpt2_edge.config import GENERATION_CONFIG_FILE
from gpt2_edge.errors import ExportError
from gpt2_edge.files.manifest import FORMAT_VERSION, MANIFEST_FILE, Architecture, Graph, Manifest
from gpt2_edge.files.package import open_package
from gpt2_edge.graph.session import Session
from gpt2_edge.status import status_line
from gpt2_edge.text.tokenizer import Tokenizer
from gpt2_edge_export.blank_weights import BlankWeights
from gpt2_edge_export.calibrate import activation_ranges, calibrate, efforts
from gpt2_edge_export.checkpoint.checkpoint import Checkpoint
from gpt2_edge_export.checkpoint.config import GPT2Config
from gpt2_edge_export.graph.flavours import CHUNK_FILE, write_graph
from gpt2_edge_export.graph.onnx_builder import DATA_FILE, MODEL_FILE
from gpt2_edge_export.graph.optimum_engine import export_with_optimum
from gpt2_edge_export.graph.plan import EXACT, GraphPlan
from gpt2_edge_export.measure.report import group_sizes, measure
from gpt2_edge_export.measure.self_test import make_self_test
from gpt2_edge_export.output.genai_config import genai_config
from gpt2_edge_export.output.generation_file import GenerationFile, read_generation_file
from gpt2_edge_export.output.license_files import license_files
from gpt2_edge_export.output.model_card import model_card
from gpt2_edge_export.output.package import file_records, write_json, write_text
from gpt2_edge_export.output.transformers_js import TRANSFORMERS_JS, transformers_js_config
from gpt2_edge_export.progress import progress_bar
from gpt2_edge_export.quantize import (
    Recipe,
    RoundedWeights,
    Weights,
    cache_head_size,
    input_width,
)
from gpt2_edge_export.texts import Text
from gpt2_edge_export.tokenizer.files import TokenizerFiles
from gpt2_edge_export.tokenizer.source import TOKENIZER_FILE

# To calibrate on, in windows as long as GPT-2 ever sees: enough for the covariance of 4 x 768
# inputs. With twice as many models/sample diverges a tenth less, so they are what a model gets that
# takes no longer for them than GPT-2 of 124M takes for the first.
_CALIBRATION_TOKENS, _MORE_TOKENS, _CALIBRATION_WINDOW = 8192, 16_384, 1024
_MOST_EFFORT = 5e12  # see calibrate/effort.py


@dataclass(frozen=True)
class Draft:
    """A package of `checkpoint` that is being written into `folder`, to be called `name`."""

    checkpoint: Checkpoint
    tokenizer: TokenizerFiles | None
    folder: Path
    name: str
    plan: GraphPlan = EXACT

    @cached_property
    def generation(self) -> GenerationFile:
        return read_generation_file(self.checkpoint)

    def write_beside(self) -> list[str]:
        """Everything but the graph and what describes it; notes on what is left out."""
        notes: list[str] = []
        write_json(self.folder / GENERATION_CONFIG_FILE, self.generation.content)
        for name, licence in license_files(self.checkpoint.folder, notes).items():
            (self.folder / name).write_bytes(licence)
        if self.tokenizer is not None:
            for name, content in self.tokenizer.contents.items():
                write_text(self.folder / name, content)
        return notes

    def weights(self, calibration: Text | None) -> Weights:
        """The weights in the plan's formats: calibrated on a text, or rounded to nearest."""
        weights, recipe = RoundedWeights(self.checkpoint), self.plan.recipe
        if calibration is None or not (recipe.quantized or self.plan.cache_dtype == "int8"):
            return weights
        ids = self.calibration_windows(calibration)
        effort = sum(efforts(recipe, weights.config, ids.size, ids.shape[1]).values())
        with progress_bar(effort, f"weights to {recipe.name}") as bar:
            return calibrate(weights, recipe, ids, bar.update)

    def calibration_windows(self, text: Text) -> npt.NDArray[np.int64]:
        """Token ids [windows, seq] to calibrate on."""
        config = self.checkpoint.config
        window = min(config.n_positions, _CALIBRATION_WINDOW)
        effort = sum(efforts(self.plan.recipe, config, _MORE_TOKENS, window).values())
        return text.windows(window, _MORE_TOKENS if effort <= _MOST_EFFORT else _CALIBRATION_TOKENS)

    def write(self, weights: Weights, calibration: Text | None = None) -> Manifest:
        """Write graph, manifest and self-test; an older graph is replaced.

        calibration: a static graph in 8 bits needs it for the ranges of activations.
        """
        for name in (MODEL_FILE, CHUNK_FILE, DATA_FILE, MANIFEST_FILE):
            (self.folder / name).unlink(missing_ok=True)
        if self.plan.engine == "optimum":
            with status_line() as show:
                show("optimum is tracing the model")
                graph = export_with_optimum(self.checkpoint, self.folder)
        else:
            graph = self._write_graph(weights, calibration)
        config = self.checkpoint.raw_config
        if graph.static is None:
            config = config | {TRANSFORMERS_JS: transformers_js_config(self.folder)}
        write_json(self.folder / "config.json", config)
        manifest = self._manifest(graph)
        if graph.static is None:  # onnxruntime-genai has no such loop
            write_json(
                self.folder / "genai_config.json",
                genai_config(manifest, self.generation.settings),
            )
        with status_line() as show:
            show("self-test")
            return self._with_self_test(manifest)

    def planned(self, recipe: Recipe) -> Draft:
        """The same package in other formats."""
        return dataclasses.replace(self, plan=self.plan.in_formats(recipe))

    def blank_size(self) -> int:
        """Bytes that the model file will have, whatever the weights are."""
        with TemporaryDirectory(prefix="blank-", dir=self.folder.parent) as folder:
            blank = dataclasses.replace(self, folder=Path(folder))
            blank._write_graph(BlankWeights(self.checkpoint), None)
            return blank.model_bytes()

    def model_bytes(self) -> int:
        """Size of the graph in the folder with its weights."""
        paths = [self.folder / name for name in (MODEL_FILE, DATA_FILE)]
        return sum(path.stat().st_size for path in paths if path.exists())

    def measure(self, manifest: Manifest, text: Text) -> Manifest:
        """The manifest with what quantization cost on `text`."""
        self._write_manifest(manifest)
        sizes = {
            group: dataclasses.asdict(size)
            for group, size in group_sizes(self.plan.recipe, self.checkpoint.config).items()
        }
        reference = None if self.plan.exact else RoundedWeights(self.checkpoint)
        quality = measure(self.folder, text, reference)
        return dataclasses.replace(manifest, quality=quality | {"groups": sizes})

    def finish(self, manifest: Manifest) -> Manifest:
        """Write the model card and the final manifest."""
        manifest = dataclasses.replace(manifest, files=file_records(self.folder))
        source = self.checkpoint
        card = model_card(manifest, source.raw_config, source.family.title)
        write_text(self.folder / "README.md", card)
        return self._write_manifest(manifest)

    def _write_manifest(self, manifest: Manifest) -> Manifest:
        manifest = dataclasses.replace(manifest, files=file_records(self.folder))
        write_text(self.folder / MANIFEST_FILE, manifest.to_json())
        return manifest

    def _write_graph(self, weights: Weights, calibration: Text | None) -> Graph:
        ranges = None
        if self.plan.flavour == "static" and self.plan.recipe.quantized:
            if calibration is None:
                raise ExportError(
                    "--flavour static in 8 bits rounds activations with fixed scales, which it "
                    "finds on a text: it needs a tokenizer and calibration, or --recipe fp32"
                )
            windows = self.calibration_windows(calibration)
            with status_line() as show:
                show("ranges of activations")
                ranges = activation_ranges(weights, self.plan.recipe, windows)
        tensors = len(weights.config.tensor_shapes())
        with progress_bar(tensors, "writing the graph", "tensors") as bar:
            counted = _Counted(weights, bar.update)
            return write_graph(self.plan, counted, self.folder, ranges)

    def _manifest(self, graph: Graph) -> Manifest:
        config, traced = self.checkpoint.config, self.plan.engine == "optimum"
        recipe = self.plan.recipe
        return Manifest(
            format_version=FORMAT_VERSION,
            name=self.name,
            created_by=f"gpt2-edge {__version__}",
            architecture=Architecture(
                num_layers=config.n_layer,
                num_heads=config.n_head,
                head_size=config.head_size if traced else cache_head_size(config),
                hidden_size=config.n_embd,
                vocab_size=config.vocab_size,
                context_length=graph.static.past if graph.static else config.n_positions,
            ),
            graph=graph,
            recipe=recipe.describe(config.n_layer, lambda name: input_width(name, config)),
            tokenizer=TOKENIZER_FILE if self.tokenizer else None,
            bos_token_id=self.generation.special.bos,
            eos_token_ids=self.generation.special.eos,
            files={},
        )

    def _with_self_test(self, manifest: Manifest) -> Manifest:
        """Run the new graph in the runtime and record what it computes."""
        self._write_manifest(manifest)
        package = open_package(self.folder)
        # Prepacking would put a second copy of the weights into memory: 6 GB for XL in floats.
        floats = manifest.recipe["embedding_and_head"]["bits"] >= 16
        # On the CPU, whatever is installed: what is recorded is what other devices are held to.
        session = Session(package, provider="cpu", verify=False, prepack=not floats)
        tokenizer = Tokenizer(self.folder / manifest.tokenizer) if manifest.tokenizer else None
        generator = Generator(package, session, tokenizer)
        return dataclasses.replace(manifest, self_test=make_self_test(generator))


class _Counted:
    """Weights, counted as they are asked for."""

    def __init__(self, weights: Weights, count: Callable[[], Any]) -> None:
        self.config: GPT2Config = weights.config
        self._weights = weights
        self._count = count
        self.has, self.matrix = weights.has, weights.matrix

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        array = self._weights.tensor(name)
        self._count()
        return array
