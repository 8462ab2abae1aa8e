"""One checkpoint in every engine's format, each made once and kept."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from random_checkpoint import write_random_checkpoint
from random_tokenizer import END, write_random_tokenizer

from peers.environments import ROOT, Environments, SetupError, run

BENCHMARKS = ROOT / "benchmarks"
OURS = {
    "int4": ["--recipe", "int4"],
    "int4 --block-size 128": ["--recipe", "int4", "--block-size", "128"],
    "int8": ["--recipe", "int8"],
    "int8-row": ["--recipe", "int8-row"],
    "fp32": ["--recipe", "fp32"],
}


class Formats:
    """Models of one checkpoint under `folder`; each method gives a path or raises SetupError."""

    def __init__(self, checkpoint: Path, folder: Path, environments: Environments) -> None:
        self.checkpoint, self.folder, self.environments = checkpoint, folder, environments

    def ours(self, form: str, calibration: Path | None = None) -> Path:
        """A package in the recipe `form` of OURS; without a text to calibrate on it is as fast."""
        calibrated = ["--calibration", str(calibration)] if calibration else ["--no-calibration"]
        options = [*OURS[form], *([] if form == "fp32" else calibrated)]

        def make(target: Path) -> None:
            export = ["-m", "gpt2_edge", "export", str(self.checkpoint), "-o", str(target)]
            run([sys.executable, *export, "--no-report", *options], own_path=True)

        name = form.replace(" --block-size ", "-")
        return self._once(f"ours-{name}{'-calibrated' if calibration else ''}", make)

    def cache(self, form: str, prompts: bool) -> Path:
        """A machine's cache that has what `gpt2-edge optimize` makes of that package.

        prompts: with 8-bit weights to read prompts with, where it makes these.
        """
        package = self.ours(form)
        folder = package.with_name(f"cache-{package.name}{'-prompts' if prompts else ''}")
        weights = [] if prompts else ["--prompt-weights", "off"]
        # Each time: what another version of this project or of ONNX Runtime made is stale.
        optimize = [sys.executable, "-m", "gpt2_edge", "optimize", str(package), *weights]
        run(optimize, {"GPT2_EDGE_CACHE": str(folder)}, own_path=True)
        return folder

    def gguf(self, form: str, imatrix: Path | None = None) -> Path:
        """llama.cpp's file of the type `form`: "F32", or one that llama-quantize takes."""
        python = self.environments.python("llama")

        def make(target: Path) -> None:
            if form == "F32":
                script = [str(BENCHMARKS / "gguf_model.py"), "--f32", str(self.checkpoint)]
                run([str(python), *script, str(self.checkpoint / "tokenizer.json"), str(target)])
            else:
                tool = str(self.environments.llama_bin / "llama-quantize")
                with_matrix = [] if imatrix is None else ["--imatrix", str(imatrix)]
                run([tool, *with_matrix, str(self.gguf("F32")), str(target), form, "2"])

        return self._once(f"{form}{'' if imatrix is None else '-imatrix'}.gguf", make)

    def imatrix(self, text: Path, context: int) -> Path:
        """llama.cpp's importance of each column, from `text` in windows of `context`."""
        model = self.gguf("F32")

        def make(target: Path) -> None:
            given = ["-f", str(text), "-o", str(target)]
            self.llama_tool("llama-imatrix", model, context, *given)

        return self._once("imatrix.gguf", make)

    def logits(self, text: Path, context: int, count: int) -> Path:
        """llama-perplexity's file of float32's predictions on `count` windows of `text`."""
        model = self.gguf("F32")

        def make(target: Path) -> None:
            given = ["-f", str(text), "--chunks", str(count), "--kl-divergence-base", str(target)]
            self.llama_tool("llama-perplexity", model, context, *given)

        return self._once(f"{text.stem}-{count}.logits", make)

    def llama_tool(self, name: str, model: Path, context: int, *options: str) -> str:
        """What one of llama.cpp's tools prints, which reads a text in windows of `context`."""
        tool = str(self.environments.llama_bin / name)
        given = ["-m", str(model), "-c", str(context), "-t", "2", *options]
        return run([tool, *given], {"OMP_WAIT_POLICY": "passive"})

    def openvino(self, form: str) -> Path:
        """optimum-intel's folder, as its command makes it; form: "fp32", "int8" or "int4"."""

        def make(target: Path) -> None:
            self._optimum_cli("openvino", "--weight-format", form, target=target)

        return self._once(f"openvino-{form}", make)

    def optimum(self, form: str) -> Path:
        """optimum-onnx's folder, in float32."""
        del form
        return self._once("optimum", lambda target: self._optimum_cli("onnx", target=target))

    def ctranslate2(self, form: str) -> Path:
        """The folder of CTranslate2's own converter; form: what it calls quantization."""

        def make(target: Path) -> None:
            python = self.environments.python("torch")
            code = (
                "import sys; from ctranslate2.converters.transformers import main; "
                "sys.argv[0] = 'ct2-transformers-converter'; main()"
            )
            given = ["--model", str(self.checkpoint), "--output_dir", str(target)]
            run([str(python), "-c", code, *given, "--quantization", form])

        return self._once(f"ctranslate2-{form}", make)

    def _optimum_cli(self, kind: str, *options: str, target: Path) -> None:
        python = self.environments.python("torch")
        given = ["export", kind, "-m", str(self.checkpoint), "--task", "text-generation-with-past"]
        module = ["-m", "optimum.commands.optimum_cli"]
        run([str(python), *module, *given, *options, str(target)], {"HF_HUB_OFFLINE": "1"})

    def _once(self, name: str, make: Callable[[Path], None]) -> Path:
        """Under its name only when it is whole."""
        target = self.folder / name
        if target.exists():
            return target
        print(f"making {self.folder.name}/{name}", flush=True)
        part = target.with_name(f"part-{name}")
        remove(part)
        self.folder.mkdir(parents=True, exist_ok=True)
        make(part)
        if not part.exists():
            raise SetupError(f"{name}: nothing was written")
        part.rename(target)
        return target


def random_checkpoint(shape: str, folder: Path) -> Path:
    """Random weights of a published shape with a tokenizer, as a Hugging Face folder."""
    if not (folder / "tokenizer_config.json").is_file():
        print(f"writing a random {shape} checkpoint to {folder}", flush=True)
        write_random_checkpoint(shape, folder)
        write_random_tokenizer(50257, folder / "tokenizer.json")
        config = {"tokenizer_class": "PreTrainedTokenizerFast"}
        config |= dict.fromkeys(("bos_token", "eos_token", "unk_token"), END)  # as GPT-2's
        text = json.dumps(config | {"model_max_length": 1024})
        (folder / "tokenizer_config.json").write_text(text, "utf-8")
    return folder


def size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)


def remove(path: Path) -> None:
    """A file or a folder, where there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
