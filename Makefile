# `make demo` and `make test` each set themselves up on a machine that has Python 3.11 or newer, git and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
DEMO := artifacts/demo
# Two test workers, one thread each: more only makes them wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal

# What `make pythons` tries; a command or a path for each.
PYTHONS ?= python3.11 python3.12 python3.13

.PHONY: help setup demo test test-all check pythons bench bench-harness bench-scale bench-train clean

help:  ## What there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "icd-mobile needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $@

setup: $(INSTALLED)  ## Make .venv and install the tried set (several GB: PyTorch and TensorFlow)

demo: $(INSTALLED)  ## Default student -> four targets in fp32 and int8 -> verified -> benched here -> report
	$(PY) -m export --target torchscript --target onnx --target coreml --target tflite \
	    --precision fp32 --precision int8 --out $(DEMO)/bundles --overwrite
	$(PY) -m export $$(printf -- '--verify %s ' $(DEMO)/bundles/*/)
	$(PY) -m bench run --bundle $(DEMO)/bundles --preset smoke --out $(DEMO)/records
	$(PY) -m bench report --records $(DEMO)/records --out $(DEMO)/reports
	@echo
	@echo 'Try next:'
	@echo '  $(PY) -m export --target executorch                      one more target'
	@echo '  $(PY) -m export --target tflite --calibration PHOTOS     INT8 ranges from your own photographs'
	@echo '  $(PY) -m bench run --bundle $(DEMO)/bundles --preset quick    timings to rely on'

test: $(INSTALLED) check  ## Everything but the complete matrix: 20 to 30 minutes on 2 cores
	$(PYTEST) -m 'not slow'

test-all: $(INSTALLED) check  ## With the complete matrix: six students, five targets
	$(PYTEST)

check: $(INSTALLED)  ## ruff and mypy --strict on the five packages
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

pythons:  ## On each Python that is here: the tried set and the ranges resolve, the base installs and runs
	@for python in $(PYTHONS); do \
	    $$python -c '' 2>/dev/null || { echo "$$python: not on this machine"; continue; }; \
	    folder=$$(mktemp -d) && $$python -m venv $$folder && \
	    $$folder/bin/python -m pip install -qq --dry-run -c constraints.txt '.[all,ray,dev]' && \
	    $$folder/bin/python -m pip install -qq --dry-run '.[all,ray,dev]' && \
	    $$folder/bin/python -m pip install -qq . && \
	    (cd $$folder && bin/icd-mobile devices >/dev/null) && \
	    echo "$$($$folder/bin/python --version): resolves, and the base runs" || exit 1; \
	    rm -rf $$folder build; \
	done

bench: $(INSTALLED)  ## The project's own hot paths (pytest-benchmark)
	$(PY) -m pytest tests/benchmarks --benchmark-enable --benchmark-only

bench-harness: $(INSTALLED)  ## Our p50 against the runtimes' own measuring tools, in one run
	$(PY) -m export --target onnx --target tflite --precision fp32 --precision int8 --out artifacts/harness --overwrite
	$(PY) -m bench.limits.harness --bundle artifacts/harness

bench-scale: $(INSTALLED)  ## Exact search and micro-AP at 50,000 x 1,000,000 against their limits: minutes
	$(PY) -m bench.limits.scale

bench-train: $(INSTALLED)  ## The training loop against its bare steps, and against a ResNet-50 teacher in the loop
	OMP_NUM_THREADS=1 $(PY) -m distill.comparison.throughput

clean:  ## Remove what was made, keep .venv
	rm -rf artifacts build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
