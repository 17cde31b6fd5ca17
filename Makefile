# Everything a person or CI runs. `make help` lists it.
SHELL := /bin/bash
HOST ?= 127.0.0.1
PORT ?= 3000
export ANSWERBOX_DATA_DIR ?= $(CURDIR)/var
export BENTOML_DO_NOT_TRACK ?= true
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev models serve test check format openapi lock bento eval clean

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

test: setup-dev models ## Run all tests
	@$(BIN)/pytest

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

lock: setup ## Write requirements.txt anew
	@$(BIN)/python scripts/lock.py

bento: setup-dev models ## Pack the service as a Bento
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/bentoml build

eval: setup-dev models ## Answer quality on XQuAD, into docs/evaluation.md
	@$(BIN)/python -m benchmarks.xquad

clean: ## Remove what was installed and stored here
	rm -rf .venv .venv.old var
