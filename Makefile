# Everything a newcomer runs. Each target first makes .venv and installs the package into it, where that is not done yet.

PYTHON ?= python3
PORT ?= 6006
OUT ?= runs/reproduce_digits
HEADS := $(OUT)/digits/SmallCNN

.PHONY: help fit test test-gpu test-oldest soak fuzz lint bench readme tensorboard

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

fit: .venv/.installed ## train two heads on the digits, and compare them (OUT=DIR)
	.venv/bin/sbn reproduce --heads softmax sbn --seeds 0 --jobs 2 --out $(OUT)
	.venv/bin/sbn report --compare $(HEADS)/softmax/seed0 $(HEADS)/sbn/seed0 --out $(OUT)/comparison
	@echo "Open that page in a browser."
	@echo "The curves and pictures of both trainings:  make tensorboard"
	@echo "So that you can type sbn in this shell:     source .venv/bin/activate"

tensorboard: .venv/.installed ## show all trainings in the browser (PORT=6006)
	@echo "Open http://localhost:$(PORT)/#custom_scalars&_smoothingWeight=0 first: it has all curves, grouped. Ctrl-C ends TensorBoard."
	.venv/bin/tensorboard --logdir runs --host localhost --port $(PORT)

test: .venv/.installed ## run the test suite, a process on each core
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses logical --dist loadfile

test-gpu: .venv/.installed ## run the tests that need a GPU
	SBN_TEST_GPU=1 .venv/bin/python -m pytest -k "cuda or gpu" tests/test_no_waiting.py tests/data/test_on_device.py

test-oldest: ## train, continue and report with the oldest versions allowed
	$(PYTHON) -m venv .venv-oldest
	$(PYTHON) -m tests.oldest requirements >.venv-oldest/requirements.txt
	.venv-oldest/bin/pip install --disable-pip-version-check --requirement .venv-oldest/requirements.txt
	.venv-oldest/bin/pip install --disable-pip-version-check --no-deps --editable .
	.venv-oldest/bin/python -m tests.oldest

soak: .venv/.installed ## kill trainings, and compare how they continue; 10 minutes
	.venv/bin/python -m tests.soak

fuzz: .venv/.installed ## read thousands of changed files and configs
	.venv/bin/python -m tests.soak.foreign_files
	.venv/bin/python -m tests.soak.fuzz_photos
	.venv/bin/python -m tests.soak.fuzz_configs

lint: .venv/.installed ## check style, format and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

bench: .venv/.installed ## measure the speed against what people use today
	.venv/bin/python -m tests.benchmarks

readme: .venv/.installed ## put the records of tests/records into the README
	.venv/bin/python -m tests.readme

.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo 'Python 3.10 or newer is needed; name one: make $(MAKECMDGOALS) PYTHON=/path/to/python' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo 'This Python cannot make environments; on Debian and Ubuntu: sudo apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --disable-pip-version-check --editable '.[dev]'
	@touch $@
