#!/usr/bin/env bash
# Decoding on the JVM against Python: one 124M-shaped int4 package, the same ONNX Runtime, the same
# number of threads, a 128-token prompt and 128 tokens behind it. Processes take turns; medians.
#
#   PYTHON=.venv/bin/python android_demo/core/bench.sh
#   ROUNDS=1 THREADS=2 ... android_demo/core/bench.sh
#
# Only on a machine that does nothing else are the figures worth anything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/jvm_env.sh
source tools/python_env.sh
source tools/build_core.sh
rounds=${ROUNDS:-3}
threads=${THREADS:-$(nproc)}
folder=core/build/bench

build_core_tests
if [[ ! -f $folder/int4/manifest.json ]]; then
  echo "exporting a random checkpoint of 124M to int4" >&2
  mkdir -p "$folder"
  python ../benchmarks/random_checkpoint.py 124M "$folder/checkpoint"
  python -m gpt2_edge export "$folder/checkpoint" -o "$folder/int4" --recipe int4 --no-tokenizer \
    --no-report --no-calibration --force >/dev/null
  rm -r "$folder/checkpoint"
fi

python_rate() { python core/src/test/python/bench_decode.py "$folder/int4" "$threads"; }
jvm_rate() { java -Xmx64m -cp "$CORE_TEST_CP" dev.gpt2edge.BenchmarkKt "$folder/int4" "$threads"; }
for ((round = 1; round <= rounds; round++)); do
  python_rates+=("$(python_rate)")
  jvm_rates+=("$(jvm_rate)")
  echo "round $round: Python ${python_rates[-1]}, JVM ${jvm_rates[-1]}"
done
median() { printf '%s\n' "$@" | sort -n | awk '{rate[NR] = $1} END {print rate[int((NR + 1) / 2)]}'; }
awk -v python="$(median "${python_rates[@]}")" -v jvm="$(median "${jvm_rates[@]}")" \
  -v rounds="$rounds" -v threads="$threads" 'BEGIN {
    printf "decode, tokens a second, %d threads, median of %d rounds: ", threads, rounds
    printf "Python %.1f, JVM %.1f, ratio %.3f\n", python, jvm, jvm / python
  }'
