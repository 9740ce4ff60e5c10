# Each command sets up what it needs on a fresh machine: make quick, make compare, make test.

PYTHON ?= python3.11
VENV := .venv
IN_VENV := $(VENV)/bin/python

.PHONY: quick compare test test-many test-browser screenshots chromium docs bench lock campaign clean

quick: $(VENV)/.run  ## see everything once: data, pretraining, four methods, table, pictures (a minute and a half on 2 cores)
	$(IN_VENV) -m experiments compare --preset quick

compare: $(VENV)/.run  ## the main job: train, compare, show (10 to 15 minutes on 2 cores)
	$(IN_VENV) -m experiments compare

test: $(VENV)/.dev  ## formatting, lint, types and every test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	OMP_NUM_THREADS=1 $(IN_VENV) -m pytest -n 2 --durations 10

test-many: $(VENV)/.ray  ## more than one machine: Ray clusters of two on this one, of which one is lost, and four ranks (minutes)
	OMP_NUM_THREADS=1 $(IN_VENV) -m pytest -m "not browser" tests/experiments/executors tests/backbone/common/test_ranks.py tests/experiments/test_train.py

test-browser: $(VENV)/.browser chromium  ## what TensorBoard and inspect's page really show, of a quick run or of RUN=FOLDER
	BROWSER_RUN=$(RUN) $(IN_VENV) -m pytest -m browser tests/test_browser.py

screenshots: $(VENV)/.browser chromium  ## the same tests, which keep what they see: make screenshots RUN=runs/compare
	BROWSER_RUN=$(RUN) BROWSER_SCREENSHOTS=experiments/results $(IN_VENV) -m pytest -m browser tests/test_browser.py

docs: $(VENV)/.docs  ## the documentation, in site/; a warning fails
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet

bench: $(VENV)/.run  ## speeds as ratios
	$(IN_VENV) -m experiments bench

lock: $(VENV)/.run  ## requirements.lock anew: every package that requirements.txt brings, with its hash
	$(IN_VENV) .ci/lock.py

campaign: $(VENV)/.dev  ## damaged files, kills, full disks, odd places, at length: TIMES=1 is the short version that make test has
	CAMPAIGN_TIMES=$(or $(TIMES),100) $(IN_VENV) -m pytest tests/campaign

clean:  ## everything that can be made again, but for the videos and runs
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A stamp is written last, so that a half-finished installation is never taken for a whole one.
$(VENV)/.run: requirements.txt
	command -v $(PYTHON) >/dev/null && $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(IN_VENV) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	$(IN_VENV) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(VENV)/.ray: requirements-ray.txt $(VENV)/.dev
	$(IN_VENV) -m pip install --quiet --disable-pip-version-check -r requirements-ray.txt
	touch $@

$(VENV)/.docs: requirements-docs.txt $(VENV)/.dev
	$(IN_VENV) -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	touch $@

$(VENV)/.browser: requirements-browser.txt $(VENV)/.dev
	$(IN_VENV) -m pip install --quiet --disable-pip-version-check -r requirements-browser.txt
	touch $@

chromium:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update && \
	  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium fonts-dejavu-core; } || { \
	  echo "Error: expected chromium on the PATH, found none, and installing it takes root and apt: install the package chromium" >&2; \
	  exit 1; }
