# Everything a person or CI runs. `make help` lists it.
SHELL := /bin/bash
HOST ?= 127.0.0.1
PORT ?= 3000
export ANSWERBOX_DATA_DIR ?= $(CURDIR)/var
export BENTOML_DO_NOT_TRACK ?= true
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev models serve test check format openapi docs audit lock bento test-page screenshots calibrate eval multihop bench overload soak quality tracing faults crashes scale rolling clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Install Answerbox into .venv
	@scripts/setup run

setup-dev:
	@scripts/setup dev

models: setup ## Put the embedded models into the model store
	@$(BIN)/answerbox models pull

serve: models ## Set everything up, then serve on HOST:PORT
	@exec $(BIN)/answerbox serve --host $(HOST) --port $(PORT)

test: setup-dev models ## Run all tests, two files at a time: those without a service, then those with one
	@$(BIN)/pytest -m "not e2e" --numprocesses 2 --dist loadfile
	@$(BIN)/pytest -m e2e --numprocesses 2 --dist loadfile

test-page: setup-dev ## The page's tests in Chromium, which Debian's package manager installs where it is missing
	@scripts/chromium
	@$(BIN)/pytest tests/unit/test_page_words.py tests/http/test_page.py tests/e2e/test_page.py \
		tests/e2e/test_page_for_all.py tests/e2e/test_page_live.py

screenshots: setup-dev models ## Pictures of the page, into docs/images
	@scripts/chromium
	@$(BIN)/python -m scripts.screenshots

check: setup-dev ## Lint, types, architecture: before every commit
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pytest -q tests/unit/test_architecture.py

format: setup-dev ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

openapi: setup ## Write docs/openapi.json anew
	@$(BIN)/answerbox openapi > docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json

docs: openapi ## Write the pages that are made from the code anew
	@$(BIN)/python -m answerbox.service.error_pages > docs/errors.md.new && mv docs/errors.md.new docs/errors.md
	@$(BIN)/python -m answerbox.service.metrics_table docs/observability.md
	@$(BIN)/python -m answerbox.cli.configuration > docs/configuration.md.new \
		&& mv docs/configuration.md.new docs/configuration.md

audit: setup ## Known faults of what is installed; asks the network
	@scripts/audit

lock: setup ## Write requirements.txt anew
	@$(BIN)/python scripts/lock.py

bento: setup-dev models ## Pack the service as a Bento
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/bentoml build

calibrate: setup-dev models ## Which scores mean that the documents do not tell, into docs/calibration.md
	@$(BIN)/python -m benchmarks.calibrate

eval: setup-dev models ## Answer quality on XQuAD, into docs/evaluation.md
	@$(BIN)/python -m benchmarks.xquad

multihop: setup-dev models ## Questions that need two passages, agent and rag, into docs/multihop.md
	@$(BIN)/python -m benchmarks.multihop

bench: setup-dev models ## Speed beside other servers, into docs/benchmarks.md: half an hour and a C++ compiler
	@benchmarks/setup
	@$(BIN)/python -m benchmarks.speed

overload: setup-dev models ## Two minutes of four times the load it can carry, into docs/overload.md
	@$(BIN)/python -m benchmarks.overload

soak: setup-dev models ## Eighteen minutes of mixed traffic: answers, memory, descriptors, threads, into docs/soak.md
	@$(BIN)/python -m benchmarks.soak

quality: setup-dev models ## What the engines cost in quality, into docs/quality.md
	@$(BIN)/python -m benchmarks.quality

tracing: setup-dev models ## What traces and logs cost, side by side, into docs/tracing.md
	@$(BIN)/python -m benchmarks.tracing

faults: setup-dev models ## What clients are told while a part hangs or dies, into docs/reliability.md
	@$(BIN)/python -m benchmarks.faults

crashes: setup-dev models ## 70 times kill -9 during ingestion, into docs/crashes.md: a quarter of an hour
	@$(BIN)/python -m benchmarks.crashes

scale: setup-dev models ## A hundred thousand passages, into docs/scale.md: half an hour
	@$(BIN)/python -m benchmarks.scale

rolling: setup-dev models ## Two gateways behind nginx, restarted and killed under load, into docs/rolling.md
	@$(BIN)/python -m benchmarks.rolling

clean: ## Remove what was installed and stored here
	rm -rf .venv .venv.old .venv-bench .venv-audit var
