"""The peers' benchmark: workers, rounds, tables. No figure is asserted, and no peer is needed."""

from __future__ import annotations

import importlib
import math
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gpt2_edge import Generator
from gpt2_edge_export.measure.quality import compare
from gpt2_edge_export.texts import REPORT_TEXT

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = {
    "vocab": 8192, "threads": 1, "first_prompt": 4, "steady": 3, "prefill": [8, 16],
    "contexts": [8], "decoded": 4, "rows": 3, "row_prompt": 4, "row_new": 5, "repeats": 2,
}  # fmt: skip


class Peers:
    """The modules of benchmarks/peers by name."""

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(f"peers.{name}")


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Peers:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return Peers()


@pytest.fixture
def worker(peers: Peers, tmp_path: Path) -> Any:
    """A runner of a worker that is written here."""

    def make(code: str) -> Any:
        script = tmp_path / "worker.py"
        script.write_text(textwrap.dedent(code), "utf-8")
        return peers.engines.Runner(Path(sys.executable), script, tmp_path / "model")

    return make


def test_our_worker_measures_a_package(peers: Peers, sample_fp32: Path) -> None:
    runner = peers.engines.Runner(
        Path(sys.executable), peers.engines.WORKERS / "ours.py", sample_fp32, own=True
    )
    figures = peers.rounds.run_worker(runner, SMALL)
    assert isinstance(figures, dict), figures
    rates = {"prefill 8", "prefill 16", "decode 8", "batch"}
    assert set(figures) == rates | {"load", "first", "resident", "anonymous", "peak"}
    assert all(value > 0 for value in figures.values())
    assert figures["anonymous"] <= figures["resident"] <= figures["peak"] * 1.01
    # The model is in it, and the unit is what it says.
    assert figures["resident"] > 1e-6 * (sample_fp32 / "model.onnx").stat().st_size
    assert {column.key for column in peers.table.COLUMNS} - set(figures) == {
        None, "prefill 128", "prefill 512", "decode 128", "decode 900"
    }  # fmt: skip


def test_our_worker_says_in_one_line_what_it_cannot_load(peers: Peers, tmp_path: Path) -> None:
    runner = peers.engines.Runner(
        Path(sys.executable), peers.engines.WORKERS / "ours.py", tmp_path / "none", own=True
    )
    failed = peers.rounds.run_worker(runner, SMALL)
    assert failed.startswith("PackageError: ")
    assert "\n" not in failed


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit('no such engine')", "ended with status 1: no such engine"),
        ("import sys; sys.exit(3)", "ended with status 3: and printed nothing"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by signal 9"),
        ("print('loading'); print('{\"error\": \"E: bad\"}')", "E: bad"),
        ('print(\'{"load": "soon"}\')', "printed what are no figures"),
        ("print('not JSON')", "ended with status 0: and printed nothing"),
        ("import time; time.sleep(600)", "ran for more than 1 s"),
    ],
)
def test_a_worker_that_fails_is_a_line(
    peers: Peers, worker: Any, monkeypatch: pytest.MonkeyPatch, code: str, expected: str
) -> None:
    if "sleep" in code:
        monkeypatch.setattr(peers.rounds, "LIMIT", 1)
    assert peers.rounds.run_worker(worker(code), {"threads": 1}) == expected


def test_a_python_that_is_missing_is_a_line(peers: Peers, tmp_path: Path) -> None:
    runner = peers.engines.Runner(tmp_path / "python", tmp_path / "worker.py", tmp_path)
    assert peers.rounds.run_worker(runner, {"threads": 1}) == "python: No such file or directory"


def test_a_worker_is_told_the_work_and_its_own_options(
    peers: Peers, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = worker(
        """
        import json, os, sys
        work = json.loads(sys.stdin.readline())
        hidden = "PYTHONPATH" not in os.environ and "MAKEFLAGS" not in os.environ
        wrapped = "WRAPPED" in os.environ
        print(json.dumps({"threads": work["threads"], "rows": work["rows"], "hidden": hidden,
                          "model": work["model"].endswith("model"), "wrapped": wrapped}))
        """
    )
    object.__setattr__(runner, "options", {"rows": 8})
    monkeypatch.setenv("PYTHONPATH", "ours")
    monkeypatch.setenv("MAKEFLAGS", "-j")
    monkeypatch.setenv("BENCH_WRAP", "env WRAPPED=1")
    figures = peers.rounds.run_worker(runner, {"threads": 3, "rows": 1})
    assert figures == {"threads": 3, "rows": 8, "hidden": 1, "model": 1, "wrapped": 1}


def test_rounds_take_turns_and_a_row_that_fails_is_left(
    peers: Peers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rounds, row = peers.rounds, peers.engines.Row
    (tmp_path / "model").write_bytes(bytes(2_500_000))
    runs: list[str] = []

    def run_worker(runner: str, work: Any) -> Any:
        runs.append(runner.worker.name)
        return "it broke" if runner.worker.name == "b" and len(runs) > 2 else {"load": len(runs)}

    def runner(name: str) -> Any:
        return peers.engines.Runner(Path("python"), Path(name), tmp_path / "model")

    def missing() -> Any:
        raise peers.environments.SetupError("is not to be had")

    monkeypatch.setattr(rounds, "run_worker", run_worker)
    rows = [
        row("a", 4, True, lambda: runner("a")),
        row("none", 4, False, missing),
        row("b", 4, False, lambda: runner("b")),
    ]
    kept: list[int] = []
    measured = rounds.measure(rows, {}, 4, lambda now: kept.append(len(now["a"].rounds)))
    assert kept == [1, 1, 2, 2, 3, 4]  # after every run
    assert runs == ["a", "b", "a", "b", "a", "a"]
    assert [each["load"] for each in measured["a"].rounds] == [1, 3, 5, 6]
    assert measured["a"].megabytes == 2.5
    assert (measured["none"].failed, measured["none"].rounds) == ("is not to be had", [])
    assert measured["b"].failed == "it broke"


def made(peers: Peers, bits: int, ours: bool, **figures: float) -> Any:
    """A row with every figure 1 but those that are given, in three rounds around them."""
    keys = [column.key for column in peers.table.COLUMNS if column.key is not None]
    middle = dict.fromkeys(keys, 1.0) | {k.replace("_", " "): v for k, v in figures.items()}
    rounds = [{k: v * factor for k, v in middle.items()} for factor in (0.5, 1.0, 10.0)]
    return peers.rounds.Measured(bits, ours, 4.0, rounds)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_medians_ratios_and_what_failed(peers: Peers) -> None:
    measured = {
        "ours int4": made(peers, 4, True, decode_128=300, load=0.1),
        "ours int8": made(peers, 8, True, decode_128=100),
        "llama.cpp Q4_0": made(peers, 4, False, decode_128=240, load=0.2),
        "OpenVINO GenAI int4": made(peers, 4, False, decode_128=150, load=0.05),
        "CTranslate2 int8": peers.rounds.Measured(8, False, 1.0, failed="no wheel"),
    }
    lines = list(peers.table.speed_table(measured))
    head, _, *rows = map(cells, lines[: lines.index("")])
    named = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert (named["ours int4"]["decode 128"], named["ours int4"]["load s"]) == ("300.0", "0.10")
    best = named["ours to the best peer, 4 bits"]
    assert (best["decode 128"], best["load s"]) == ("1.25 Q4_0", "0.50 OpenVINO int4")
    assert named["CTranslate2 int8"]["file MB"].startswith("not measured")
    # Nothing of 8 bits is left to compare with, and fp32's rows are compared with nothing.
    assert set(list(named["ours to the best peer, 8 bits"].values())[1:]) == {""}
    assert lines[-1] == "- CTranslate2 int8: no wheel"
    assert len({len(line) for line in lines[: lines.index("")]}) == 1


def test_pairs_compare_the_same_round(peers: Peers) -> None:
    ours = peers.rounds.Measured(4, True, 1.0, [{"decode 128": v} for v in (10, 20, 90)])
    theirs = peers.rounds.Measured(4, False, 1.0, [{"decode 128": v} for v in (10, 10, 30)])
    pair = next(p for p in peers.table.PAIRS if p[2] == "decode 128")
    lines = list(peers.table.pairs_table({pair[0]: ours, pair[1]: theirs}))
    assert [cells(line)[1:] for line in lines[2:]] == [["2.00", "1.00", "3.00"]]
    failed = peers.rounds.Measured(4, False, 1.0, theirs.rounds, failed="it broke")
    assert list(peers.table.pairs_table({pair[0]: ours, pair[1]: failed})) == []


def test_every_row_of_the_pairs_is_one_of_the_table(peers: Peers, tmp_path: Path) -> None:
    environments = peers.environments.Environments(tmp_path)
    formats = peers.formats.Formats(tmp_path, tmp_path, environments)
    names = [row.name for row in peers.engines.all_rows(formats, environments)]
    assert len(set(names)) == len(names)
    assert {name for ours, peer, _ in peers.table.PAIRS for name in (ours, peer)} <= set(names)
    rows = peers.engines.all_rows(formats, environments)
    some = peers.speed.chosen(rows, "llama.cpp, OURS int8")
    llama = [name for name in names if name.startswith("llama.cpp")]
    assert [row.name for row in some] == ["ours int8", *llama]  # a name is no beginning
    some = peers.speed.chosen(rows, "ours int8,ours int")
    assert [row.name for row in some] == [n for n in names if n.startswith("ours int")]


def test_what_was_measured_is_kept_and_goes_on(peers: Peers, tmp_path: Path) -> None:
    speed, measured = peers.speed, peers.rounds.Measured
    before = {
        "a": measured(4, True, 1.0, [{"load": 1.0}]),
        "b": measured(4, False, math.nan, failed="no network"),
        "c": measured(8, False, 2.0, [{"load": 3.0}]),
    }
    speed.write(tmp_path / "kept.json", before, "a machine")
    kept, machine = speed.read(tmp_path / "kept.json")
    assert (kept["a"], kept["c"], machine) == (before["a"], before["c"], "a machine")
    assert (kept["b"].failed, math.isnan(kept["b"].megabytes)) == ("no network", True)
    now = {
        "a": measured(4, True, 1.0, [{"load": 2.0}]),
        "b": measured(4, False, 5.0, [{"load": 4.0}]),
        "c": measured(8, False, 2.0, failed="it broke"),
    }
    both = speed.together(kept, now)
    assert [each["load"] for each in both["a"].rounds] == [1, 2]
    assert (both["b"], both["c"]) == (now["b"], before["c"])


def test_rates_count_from_where_all_rows_have_begun(peers: Peers) -> None:
    sys.path.insert(0, str(peers.engines.WORKERS))
    try:
        rate = importlib.import_module("measure").rate
    finally:
        sys.path.remove(str(peers.engines.WORKERS))
    assert rate([[10.0, 11.0, 12.0]], 3) == 1.0
    # The first row is ahead by two tokens when the second begins; four come in two seconds.
    assert rate([[1.0, 2.0, 4.0, 5.0], [3.0, 4.0, 5.0]], 3) == 2.0
    # Only the first and the last are known, of 21 tokens each.
    assert rate([[0.0, 10.0], [0.0, 10.0]], 21) == 4.0


def test_environments_are_made_once_and_fail_once(
    peers: Peers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = peers.environments
    commands: list[str] = []

    def run(command: list[str], *others: Any) -> str:
        commands.append(" ".join(command))
        if "ctranslate2==" in commands[-1]:
            raise module.SetupError("python: no matching distribution")
        return ""

    monkeypatch.setattr(module, "run", run)
    first = module.Environments(tmp_path)
    assert first.python("openvino") == tmp_path / "openvino" / "bin" / "python"
    assert len(commands) == 2  # a venv, and what goes into it
    module.Environments(tmp_path).python("openvino")
    assert len(commands) == 2
    for _ in range(2):
        with pytest.raises(module.SetupError, match="no matching distribution"):
            first.python("ctranslate2")
    assert len(commands) == 4
    monkeypatch.setitem(module.PACKAGES, "openvino", ("openvino-genai==1",))
    module.Environments(tmp_path).python("openvino")
    assert len(commands) == 6


def test_a_command_that_fails_is_a_line(peers: Peers) -> None:
    error = peers.environments.SetupError
    code = "import sys; sys.exit('first line\\nlast line')"
    with pytest.raises(error, match=r"^python[\d.]*: last line$"):
        peers.environments.run([sys.executable, "-c", code])
    with pytest.raises(error, match=r"^no-such-tool: No such file or directory$"):
        peers.environments.run(["/no-such-tool"])


def test_half_a_model_is_made_anew(peers: Peers, tmp_path: Path) -> None:
    formats = peers.formats.Formats(tmp_path, tmp_path / "models", None)

    def fails(target: Path) -> None:
        target.mkdir()
        (target / "half").write_bytes(b"")
        raise peers.environments.SetupError("the disk is full")

    def works(target: Path) -> None:
        assert not target.exists()
        target.mkdir()
        (target / "weights").write_bytes(bytes(1000))

    with pytest.raises(peers.environments.SetupError):
        formats._once("int4", fails)
    made = formats._once("int4", works)
    assert (made, peers.formats.size(made)) == (tmp_path / "models" / "int4", 1000)
    assert formats._once("int4", fails) == made


PERPLEXITY = """\
chunk             PPL               ln(PPL(Q)/PPL(base))          KL Divergence
   1      45.1226 ±    9.4031       0.00531 ±    0.01092       0.01152 ±    0.00110

====== Perplexity statistics ======
Mean PPL(Q)                   :  47.251000 ±   1.106000
Mean PPL(base)                :  46.998000 ±   1.099000

====== KL divergence statistics ======
Mean    KLD:   0.011021 ±   0.000191
Maximum KLD:   0.604182
99.9%   KLD:   0.176501
99.0%   KLD:   0.067112

====== Token probability statistics ======
Mean    Δp: -0.054 ± 0.022 %
Same top p: 91.863 ± 0.271 %
"""


def test_what_llama_perplexity_prints_is_read(peers: Peers) -> None:
    figures = peers.quality.parse_perplexity(PERPLEXITY, 5.49)
    assert figures == peers.quality.Figures(5.49, 0.011021, 0.067112, 0.91863, 47.251)
    assert peers.quality.cells(figures) == ["5.49", "0.01102", "0.0671", "91.9%", "47.25", ""]
    for missing in ("Mean    KLD", "99.0%   KLD", "Same top p", "Mean PPL(Q)"):
        without = "\n".join(
            line for line in PERPLEXITY.splitlines() if not line.startswith(missing)
        )
        with pytest.raises(peers.environments.SetupError, match="printed no"):
            peers.quality.parse_perplexity(without, 5.49)


@pytest.fixture(scope="module")
def text_ids(sample_fp32: Path) -> list[int]:
    tokenizer = Generator.load(sample_fp32).tokenizer
    assert tokenizer is not None
    return tokenizer.encode(REPORT_TEXT.read_text("utf-8"), add_special_tokens=False)[: 2 * 512]


def test_our_quality_is_the_reports_and_that_of_second_halves(
    peers: Peers, sample_fp32: Path, sample_int4: Path, text_ids: list[int]
) -> None:
    whole = peers.quality.our_figures(sample_fp32, sample_int4, text_ids, 512)
    reported = compare(Generator.load(sample_fp32), Generator.load(sample_int4), text_ids)
    assert whole.report_kl == pytest.approx(reported.mean_kl, rel=1e-4)
    same = peers.quality.our_figures(sample_fp32, sample_fp32, text_ids, 512)
    assert (same.kl, same.kl99, same.top1) == (0, 0, 1)
    # Of the second halves by hand: what llama-perplexity counts of a window.
    model, loss = Generator.load(sample_int4), []
    for start in (0, 512):
        logits = model.session.start(512).feed(text_ids[start : start + 512], keep=0)
        for position in range(256, 511):
            row = logits[position].astype(float)
            target = row[text_ids[start + position + 1]]
            loss.append(math.log(sum(map(math.exp, row - row.max()))) + row.max() - target)
    assert whole.perplexity == pytest.approx(math.exp(sum(loss) / len(loss)), rel=1e-4)
    assert whole.megabytes == pytest.approx(
        1e-6 * sum(file.stat().st_size for file in sample_int4.glob("model.onnx*"))
    )
