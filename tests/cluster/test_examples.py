"""examples/ray_score.py and spark_score.py, which need what only `make test-ray` installs."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from gpt2_edge import Generator, text_perplexity

ray = pytest.importorskip("ray", reason="Ray is not installed (make test-ray)")
import pandas as pd  # noqa: E402

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TEXTS = [f"The {word} and the sea." for word in ("night", "man", "house", "fire", "old", "dark")]


def expected(package: Path) -> list[float]:
    generator = Generator.load(package, threads=1)
    return [text_perplexity(generator, text, bos=True).perplexity for text in TEXTS]


def test_a_corpus_in_json_lines(sample_fp32: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    lines = [json.dumps({"id": i, "text": text}) for i, text in enumerate(TEXTS)]
    (corpus / "a.jsonl").write_text("\n".join(lines[:2]))
    (corpus / "b.jsonl").write_text("\n".join(lines[2:]))
    command = [sys.executable, EXAMPLES / "ray_score.py", sample_fp32, corpus, tmp_path / "scored"]
    process = subprocess.run(
        [*map(str, command), "--cpus", "1"], stderr=subprocess.PIPE, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr
    rows = pd.read_parquet(tmp_path / "scored").sort_values("id")
    assert list(rows["perplexity"]) == expected(sample_fp32)


def test_data_frames_as_spark_hands_them_over(sample_fp32: Path) -> None:
    scoring = runpy.run_path(str(EXAMPLES / "spark_score.py"))["scoring"]
    frames = [
        pd.DataFrame({"body": TEXTS[:2], "n": [1, 2]}),
        pd.DataFrame({"body": TEXTS[2:], "n": [3, 4, 5, 6]}),
    ]
    scored = pd.concat(scoring(str(sample_fp32), "body", 1)(iter(frames)))
    assert list(scored["perplexity"]) == expected(sample_fp32)
    assert list(scored["n"]) == [1, 2, 3, 4, 5, 6]
    assert list(scored["error"]) == [""] * 6
    assert scored.dtypes["tokens"] == "int64"
