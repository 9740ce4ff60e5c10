# Two commands set everything up on a fresh machine: make compare, make test.

PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: quick compare test bench clean

quick: $(VENV)/.run  ## see everything once: data, pretraining, four methods, table, pictures (a minute on 2 cores)
	$(RUN) -m experiments compare --preset quick

compare: $(VENV)/.run  ## the main job: train, compare, show (10 minutes on 2 cores)
	$(RUN) -m experiments compare

test: $(VENV)/.dev  ## formatting, lint and every test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --durations 10

bench: $(VENV)/.run  ## speeds as ratios
	$(RUN) -m experiments bench

clean:  ## everything that can be made again, but for the videos and runs
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis

# A stamp is written last, so that a half-finished installation is never taken for a whole one.
$(VENV)/.run: requirements.txt
	command -v $(PYTHON) >/dev/null && $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@
