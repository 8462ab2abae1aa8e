# Each target sets up what it needs (a virtual environment included) and is safe to repeat.
#   make demo            export the sample model to int4 and watch it write
#   make test            formatting, lint, types, tests
#   make bench           one table: fp32, int8, int4 of a 124M shape (OPTIMUM=1 adds the stock path)
#   make test-providers  the sample on OpenVINO and on WebGPU without a GPU; prints a table
#   make test-optimum    the tests against transformers and optimum (downloads torch: gigabytes)
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OPTIMUM_VENV ?= .venv-optimum
BENCH_VENV := $(if $(OPTIMUM),$(OPTIMUM_VENV),$(VENV))

# The tests' matrices are small, and threads of OpenBLAS and ONNX Runtime get in each other's way.
ONE_THREAD := OPENBLAS_NUM_THREADS=1

.PHONY: demo test bench test-optimum test-providers clean

demo: $(VENV)/ready
	@$(BIN)/python tools/demo.py

test: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(ONE_THREAD) $(BIN)/python -m pytest -q

bench: $(BENCH_VENV)/ready
	$(BENCH_VENV)/bin/python benchmarks/run.py $(BENCH)

test-optimum: $(OPTIMUM_VENV)/ready
	$(ONE_THREAD) $(OPTIMUM_VENV)/bin/python -m pytest -q -m optimum

test-providers: $(VENV)/ready
	PYTHON=$(BIN)/python tools/test-providers.sh

$(VENV)/ready: pyproject.toml
	$(call install,$(VENV),dev)

$(OPTIMUM_VENV)/ready: pyproject.toml
	$(call install,$(OPTIMUM_VENV),dev$(comma)optimum)

comma := ,

# A half-made environment is made anew; the mark is written last.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "gpt2-edge needs Python 3.10 or later: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "setting up $(1)"
	@$(PYTHON) -m venv --clear $(1)
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$(2)]'
	@touch $(1)/ready
endef

clean:
	rm -rf $(VENV) .venv-* .demo .bench .providers build
