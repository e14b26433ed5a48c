# Two commands do all: `make demo` and `make test`. Each sets up its own .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Spinning OpenMP threads slow a small machine down; sleeping ones do not.
export OMP_WAIT_POLICY = passive
export GOMP_SPINCOUNT = 0
export HF_HUB_OFFLINE = 1
# Where an image of a container forbids it, each process would compile vLLM and transformers anew:
# half of its start.
export PYTHONDONTWRITEBYTECODE =
DEMO := runs/demo
POLICY := --model data/tiny_policy --max-tokens 64
# What libraries cache goes into the project's own environment, not into the user's home.
RUN := XDG_CACHE_HOME=$(CURDIR)/.venv/cache TORCHINDUCTOR_CACHE_DIR=$(CURDIR)/.venv/cache/inductor $(BIN)

.PHONY: demo test quick lint bench ablation gpu-check adapters setup data docs tiny-policy pins audit wheel clean

setup: .venv/ready

# A registry's cached answer can be stale: ask it again before giving up.
.venv/ready: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "uv>=0.9,<1"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r requirements.txt || \
	  $(BIN)/uv pip install --quiet --refresh --python $(BIN)/python --no-deps -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

demo: setup
	rm -rf $(DEMO)
	$(RUN)/durian profile data/photo_shapes/train.parquet $(POLICY) --part-size 200 --out $(DEMO)/train
	$(RUN)/durian profile data/photo_shapes/test.parquet $(POLICY) --part-size 200 --out $(DEMO)/test
	$(RUN)/durian report $(DEMO)/test --quiet
	$(RUN)/durian train data/photo_shapes/train.parquet --table $(DEMO)/train --model data/tiny_policy \
	  --config data/recipes/cpu_demo.yaml --out $(DEMO)/policy
	$(RUN)/durian eval data/photo_shapes/test.parquet --table $(DEMO)/test --max-tokens 64 \
	  --model $(DEMO)/policy --compare data/tiny_policy --out $(DEMO)/eval.json

# As many processes as fit: each may hold an engine and take 6 GB.
JOBS ?= 2
PYTEST := $(RUN)/python -m pytest -q -n $(JOBS) --no-loadscope-reorder -p no:cacheprovider
test: setup
	$(PYTEST) --basetemp=.venv/test-tmp

# At each change: all rules that need no policy, no training and no killed process.
QUICK := $(wildcard tests/test_*.py) tests/analysis tests/config tests/measures tests/plugins tests/readers tests/run \
  tests/table tests/images tests/rendering tests/rewards/test_boxed.py tests/rewards/test_custom.py \
  tests/cli/test_docs.py tests/cli/test_mistypes.py tests/cli/test_group_command.py
SLOW := tests/test_face.py tests/test_report.py tests/test_regroup.py tests/images/test_mutations.py \
  tests/rendering/test_page.py tests/analysis/two_runs
quick: setup
	$(BIN)/ruff check .
	$(PYTEST) --basetemp=.venv/quick-tmp $(filter-out $(SLOW),$(QUICK)) \
	  $(addprefix --ignore=,$(SLOW))

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(RUN)/python -m tests.benchmarks

# The numbers of docs/evidence.md: simulations, and as many trainings as begin within TRAINING_HOURS.
# Resumes by unit. Files that a unit wrote are kept in runs/ablation.
ABLATION := runs/ablation
HOURS ?= 3
TRAINING_HOURS ?= 0
ablation: export OMP_NUM_THREADS = 1
ablation: setup
	for part in train test; do test -e $(ABLATION)/$$part/manifest.json || \
	  $(RUN)/durian profile data/photo_shapes/$$part.parquet $(POLICY) --part-size 200 \
	  --out $(ABLATION)/$$part || exit 1; done
	$(RUN)/python -m reports.ablation.simulate --out $(ABLATION) --hours $(HOURS) --jobs $(JOBS)
	$(RUN)/python -m reports.ablation.mechanism --out $(ABLATION)
	$(RUN)/python -m reports.ablation.closed_form --table $(ABLATION)/test --out $(ABLATION)
	$(RUN)/python -m reports.ablation.trainings --table $(ABLATION)/train --held-out $(ABLATION)/test \
	  --out $(ABLATION) --hours $(TRAINING_HOURS)
	$(RUN)/python -m reports.ablation.tell --simulation $(ABLATION) --trainings $(ABLATION)

# On one GPU, in under nine minutes: what no CPU can settle. A line a part, JSON in gpu-check/.
gpu-check: setup
	$(RUN)/python -m tests.gpu.check --out gpu-check

# The plug-ins inside the real trainers, an environment each (6 GB, deleted after): not in CI.
# EASYR1=CLONE SLIME=CLONE for those that no package index has; TRAINERS="verl swift" for some.
adapters: setup
	$(RUN)/python -m tests.adapters $(TRAINERS)

# What ships in data/, made again (see data/README.md).
data: setup
	$(BIN)/python -m data.make_easy_vqa --split train --rows 800 --seed 1 --out data/easy_vqa/train.parquet
	$(BIN)/python -m data.make_easy_vqa --split test --rows 400 --seed 1 --out data/easy_vqa/test.parquet
	$(BIN)/python -m data.make_photo_shapes --rows 1200 --seed 1 --out data/photo_shapes/train.parquet
	$(BIN)/python -m data.make_photo_shapes --rows 600 --seed 2 --out data/photo_shapes/test.parquet

docs: setup
	$(BIN)/python -m durian_cli.reference > docs/options.md

tiny-policy: setup
	$(BIN)/python -m data.make_tiny_policy --out data/tiny_policy

# The pinned versions of the CPU road; no line of the file names a host.
pins: setup
	$(BIN)/uv pip compile pyproject.toml --extra cpu --extra train --extra openai --extra ray --extra view --extra dev \
	  --override overrides.txt --python-version 3.11 --no-emit-index-url --quiet -o requirements.txt

# Known vulnerabilities of the pinned versions; it asks the package index, so it needs the network.
audit: setup
	@$(BIN)/uvx --from "pip-audit>=2.9,<3" pip-audit --requirement requirements.txt --no-deps --disable-pip --strict || \
	  { echo "make audit: see above; what could not be asked about was not audited" >&2; exit 1; }

wheel: setup
	$(BIN)/uv build --wheel --quiet

clean:
	rm -rf runs dist gpu-check .venv-adapters .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
