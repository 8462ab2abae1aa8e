# Each target sets up what it needs (a virtual environment included) and is safe to repeat.
#   make demo            export the sample model to int4 and watch it write
#   make test            formatting, lint, types, tests of the Python packages
#   make test-minimum    the same tests with every dependency at its lower bound, on Python 3.10
#   make test-readme     the README's commands and Python, in a clean copy and a new environment
#   make test-arm64      the sample's packages on three aarch64 cores under qemu, against those here
#   make test-embedded   the runtime on two wheels, examples/c, the Dockerfile
#   make notebooks       notebooks/ executed on copies, and their kept outputs
#   make test-ecosystem  packages in optimum and onnxruntime-genai, optimum's in our runtime
#   make test-openvino   portable and static packages on the OpenVINO provider
#   make test-web        the browser module in Node and Chromium
#   make android         a signed debug APK, and what is in it; no Gradle, no Android SDK
#   make publish-local   the Kotlin library into a Maven repository, android_demo/build/maven
#   make test-android    its Kotlin core on the JVM, and its DEX on stand-ins for Android's classes
#   make check           all of these, as CI does
#   make docs            refreshes the outputs that docs/ show, and makes the site in build/site; fails on
#                        a warning or a dead link
#   make dist            wheel, sdist and SBOM in dist/, built twice and tried on each Python
#   make check-all       check, docs and dist
#   make bench           one table: fp32, int8, int4 of a 124M shape (OPTIMUM=1 adds the stock path)
#   make bench-server    the server with one client and with eight (BENCH_SERVER="--soak 10": ten minutes
#                        of mixed and of wrong requests)
#   make bench-peers     the same model in llama.cpp, OpenVINO, CTranslate2, ... beside ours: builds and
#                        downloads 1 GB, then minutes (BENCH_PEERS="--rounds 3 --only ours,llama.cpp")
#   make bench-peers-quality   what quantizing costs, ours beside llama.cpp's
#   make test-providers  tests and tables on OpenVINO and on WebGPU without a GPU: 8 minutes
#   make test-ray        scoring a corpus on a Ray cluster of two nodes, one worker killed: 3 minutes
#   make test-optimum    the tests against transformers and optimum (torch from Debian, where there is one)
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OPTIMUM_VENV ?= .venv-optimum
NOTEBOOKS_VENV ?= .venv-notebooks
DIST_VENV ?= .venv-dist
DOCS_VENV ?= .venv-docs
RAY_VENV ?= .venv-ray
MINIMUM_VENV ?= .venv-minimum
PEERS_PATH := benchmarks$(if $(PYTHONPATH),:$(PYTHONPATH))
BENCH_VENV := $(if $(OPTIMUM),$(OPTIMUM_VENV),$(VENV))

# Where an image keeps Python from writing bytecode, every process of the tests would compile the package
# anew: 0.33 s in place of 0.25.
unexport PYTHONDONTWRITEBYTECODE

# The tests' matrices are small, and threads of OpenBLAS and ONNX Runtime get in each other's way.
ONE_THREAD := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1

.PHONY: demo test test-minimum test-readme test-arm64 test-embedded test-ecosystem test-openvino \
  notebooks test-web android test-android publish-local check check-all docs dist bench \
  bench-server bench-peers bench-peers-quality test-optimum test-providers test-ray clean

# Half of what `ready` installs is for tests: where that is not there, the demo goes without.
demo: $(if $(wildcard $(VENV)/ready),$(VENV)/ready,$(VENV)/exports)
	@$(BIN)/python tools/demo.py

test: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy examples
	$(ONE_THREAD) $(BIN)/python -m pytest -q

# mypy's and ruff's words depend on their versions: `test` has them, this has not.
test-minimum:
	tools/minimum-venv.sh $(MINIMUM_VENV)
	$(ONE_THREAD) $(MINIMUM_VENV)/bin/python -m pytest -q

test-readme: $(VENV)/ready
	GPT2_EDGE_TEST_README=1 $(BIN)/python -m pytest -q tests/readme

test-arm64: $(VENV)/ready
	PYTHON=$(BIN)/python tools/test-arm64.sh

test-embedded: $(VENV)/ready
	PYTHON=$(BIN)/python tools/test-embedded.sh

notebooks: $(NOTEBOOKS_VENV)/ready
	$(ONE_THREAD) $(NOTEBOOKS_VENV)/bin/python -m pytest -q tests/notebooks

test-ecosystem:
	PYTHON=$(PYTHON) OPTIMUM_VENV=$(OPTIMUM_VENV) tools/test-ecosystem.sh

test-openvino: $(VENV)/ready
	PYTHON=$(BIN)/python tools/test-providers.sh openvino

test-web: $(VENV)/ready
	PYTHON=$(BIN)/python web/test.sh

android: $(VENV)/ready
	PYTHON=$(BIN)/python android_demo/build.sh
	for apk in android_demo/build/gpt2-edge-demo*.apk; do \
	  PYTHON=$(BIN)/python android_demo/verify.sh $$apk || exit; done

publish-local:
	android_demo/publish-local.sh

test-android: android
	PYTHON=$(BIN)/python android_demo/test-core.sh
	PYTHON=$(BIN)/python android_demo/library/test.sh
	PYTHON=$(BIN)/python android_demo/test-app.sh

# Two suites run at a time (the slow ones have one thread), each one's output in one piece; every
# suite adds what it skipped, and why, to one list.
CHECKED := test test-minimum test-readme test-ecosystem test-android test-web test-arm64 test-openvino \
  test-embedded notebooks
$(CHECKED): export SUITE = $@

# The environment first: make would put the suites that wait for it, the longest, behind all others.
check: $(VENV)/ready
	@rm -f .skipped
	@SKIPPED_LIST=$(CURDIR)/.skipped $(MAKE) --no-print-directory -j2 --output-sync=target $(CHECKED)
	@$(BIN)/python tools/skipped.py .skipped

docs: $(DOCS_VENV)/ready
	$(DOCS_VENV)/bin/python tools/docs_output.py
	$(DOCS_VENV)/bin/python tools/docs.py

dist: $(DIST_VENV)/ready
	$(DIST_VENV)/bin/python tools/dist.py

check-all: check docs dist

# GENAI: a Python that has onnxruntime-genai, such as .venv-genai/bin/python of test-ecosystem.
bench: $(BENCH_VENV)/ready
	$(BENCH_VENV)/bin/python benchmarks/run.py $(BENCH)
	$(BENCH_VENV)/bin/python benchmarks/decoder.py $(if $(GENAI),--genai $(GENAI)) $(BENCH_DECODER)

bench-server: $(VENV)/ready
	$(BIN)/python benchmarks/server.py $(BENCH_SERVER)

# BENCH_WRAP: a command in front of each measurement's, such as "taskset -c 0,1".
bench-peers: $(VENV)/ready
	@PYTHONPATH=$(PEERS_PATH) $(BIN)/python -m peers.speed $(BENCH_PEERS)

bench-peers-quality: $(VENV)/ready
	@PYTHONPATH=$(PEERS_PATH) $(BIN)/python -m peers.quality $(BENCH_PEERS)

test-optimum: $(OPTIMUM_VENV)/ready
	$(ONE_THREAD) $(OPTIMUM_VENV)/bin/python -m pytest -q -m optimum

test-ray: $(RAY_VENV)/ready
	RAY_USAGE_STATS_ENABLED=0 $(RAY_VENV)/bin/python -m pytest -q tests/cluster

test-providers: $(VENV)/ready
	PYTHON=$(BIN)/python tools/test-providers.sh

$(VENV)/ready: pyproject.toml
	$(call install,$(VENV),dev)

$(VENV)/exports: pyproject.toml
	$(call install,$(VENV),export,exports)

$(NOTEBOOKS_VENV)/ready: pyproject.toml
	$(call install,$(NOTEBOOKS_VENV),notebooks)

$(DIST_VENV)/ready: pyproject.toml
	$(call install,$(DIST_VENV),dist)

$(DOCS_VENV)/ready: pyproject.toml
	$(call install,$(DOCS_VENV),docs)

$(RAY_VENV)/ready: pyproject.toml
	$(call install,$(RAY_VENV),test-ray)

$(OPTIMUM_VENV)/ready: pyproject.toml tools/optimum-venv.sh tools/debian-packages.sh
	@PYTHON=$(PYTHON) tools/optimum-venv.sh $(OPTIMUM_VENV)

# A half-made environment is made anew; the mark is written last.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "gpt2-edge needs Python 3.10 or later: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "setting up $(1)"
	@$(PYTHON) -m venv --clear $(1)
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$(2)]'
	@touch $(1)/$(or $(3),ready)
endef

clean:
	rm -rf $(VENV) .venv-* .skipped .demo .bench .providers build dist web/build web/node_modules \
	  android_demo/.tools android_demo/build android_demo/core/build
