# make demo    curate the real demo pool with the real tiny network
# make test    lint, types and all tests
# make fuzz MINUTES=10    readers of strangers' bytes, each for so long, guided by coverage
# make test-tfio    what TensorFlow and tensorflow-io make of the output, in an environment of their own
# make test-loaders    what the libraries that people train with make of the output, in an environment of their own
# make docs    the pages as a site below out/site, strictly, and the notebook; in an environment of their own
# make test-newest    the demo under the newest Python that setup.py names, with the bytes of the oldest
# make test-speed    CPU seconds of small runs beside those of an earlier commit
# make test-runners    the demo on Prism, Flink, Spark and a job service, with the bytes of the local runner
# Each sets up its own environment from the lock file; the packages are cached by the lock's hash.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
LOCK := requirements/dev.txt
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/winnow
KEY := $(shell { cat $(LOCK); $(PYTHON) -VV; } | sha256sum | cut -c1-16)
DEPS := $(CACHE)/deps-$(KEY)
READY := .venv/ready-$(KEY)
RUN := .venv/bin/python -m
OUT ?= out/demo
RUNNERS ?= two portable prism flink spark

.PHONY: demo docs chaos fuzz audit sbom test test-tfio test-loaders test-newest compare-newest test-speed test-runners check lint types tests format lock templates terraform-test images-test demo-model clean

demo: $(READY)
	$(RUN) demo.run --output $(OUT)

chaos: $(READY)
	$(RUN) tests.chaos.kills --runs 30
	$(RUN) tests.chaos.store_faults --runs 100

# Ten minutes per target by default; without a wheel of atheris for this Python a small driver mutates the kept corpus.
FUZZ_LOCK := requirements/fuzz.txt
FUZZ := $(CACHE)/fuzz-$(shell { cat $(LOCK) $(FUZZ_LOCK); $(PYTHON) -VV; } | sha256sum | cut -c1-16)
MINUTES ?= 10

$(FUZZ)/ready: $(DEPS)/ready
	rm -rf $(FUZZ) && $(PYTHON) -m venv $(FUZZ)
	$(DEPS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > "$$($(FUZZ)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/deps.pth"
	$(FUZZ)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes --no-deps -r $(FUZZ_LOCK) \
	  || echo "atheris is not to be had here: unguided"
	touch $@

fuzz: $(FUZZ)/ready $(READY)
	$(FUZZ)/bin/python -m tests.fuzz.run --minutes $(MINUTES) --keep

test: check tests

check: lint types audit

# bandit over the code; pip-audit over the lock file, where PyPI's advisories can be reached.
audit: $(READY)
	$(RUN) tests.audit.code
	$(RUN) tests.audit.packages

# Bills of materials, CycloneDX, of the images and the wheel.
sbom: $(READY)
	$(RUN) tests.audit.sbom --output out/sbom

lint: $(READY)
	$(RUN) ruff check .
	$(RUN) ruff format --check .

types: $(READY)
	$(RUN) mypy

tests: $(READY)
	$(RUN) pytest -n 2 --dist loadfile

TFIO_LOCK := requirements/tfio.txt
TFIO := $(CACHE)/tfio-$(shell { cat $(TFIO_LOCK); $(PYTHON) -VV; } | sha256sum | cut -c1-16)

$(TFIO)/ready:
	rm -rf $(TFIO) && mkdir -p $(CACHE)
	$(PYTHON) -m venv $(TFIO)
	$(TFIO)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(TFIO_LOCK)
	$(TFIO)/bin/pip check
	touch $@

test-tfio: $(TFIO)/ready
	$(TFIO)/bin/python -m pytest -p no:cacheprovider tests/tfio

# An environment $(1) with the packages of the lock above, and beside them those of the lock $(2).
define beside
	rm -rf $(1) && $(PYTHON) -m venv $(1)
	$(DEPS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > "$$($(1)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/deps.pth"
	$(1)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(2)
	$(1)/bin/pip check
	touch $@
endef

# The packages of the lock above, and beside them those that only the readers of the output need: 200 MB, not 7 GB.
LOADERS_LOCK := requirements/loaders.txt
LOADERS := $(CACHE)/loaders-$(shell { cat $(LOCK) $(LOADERS_LOCK); $(PYTHON) -VV; } | sha256sum | cut -c1-16)

$(LOADERS)/ready: $(DEPS)/ready
	$(call beside,$(LOADERS),$(LOADERS_LOCK))

test-loaders: $(LOADERS)/ready $(READY)
	$(LOADERS)/bin/python -m pytest -p no:cacheprovider tests/loaders

# What builds the pages as a site and runs the notebook, beside the packages of the lock above: 60 MB.
DOCS_LOCK := requirements/docs.txt
DOCS := $(CACHE)/docs-$(shell { cat $(LOCK) $(DOCS_LOCK); $(PYTHON) -VV; } | sha256sum | cut -c1-16)

$(DOCS)/ready: $(DEPS)/ready
	$(call beside,$(DOCS),$(DOCS_LOCK))

# The pages as a site below out/site, where a link that leads nowhere fails; then the notebook, as out/explore.ipynb.
docs: $(DOCS)/ready $(READY)
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict --quiet --site-dir out/site
	PYTHONPATH=$(CURDIR):$$(.venv/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))") \
	  $(DOCS)/bin/python -m examples.run_notebook examples/explore.ipynb out/explore.ipynb

# The newest Python that setup.py names: on the path, of pyenv, or of uv, which fetches it where its index can be reached.
NEWEST := 3.13
NEWEST_LOCK := requirements/newest.txt
NEWEST_DEPS := $(CACHE)/newest-$(shell { cat $(NEWEST_LOCK); echo $(NEWEST); } | sha256sum | cut -c1-16)
NEWEST_PYTHON = $(shell for one in python$(NEWEST) $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/$(NEWEST).*/bin/python \
  $(CACHE)/python/cpython-$(NEWEST).*/bin/python; do $$one -c "" 2>/dev/null && echo $$one && break; done)

$(NEWEST_DEPS)/ready: | $(READY)
	rm -rf $(NEWEST_DEPS) && $(NEWEST_PYTHON) -m venv $(NEWEST_DEPS)
	$(NEWEST_DEPS)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(NEWEST_LOCK)
	$(NEWEST_DEPS)/bin/pip check
	touch $@

# The checkout's own environment for that Python, as .venv is for the oldest.
NEWEST_READY := .venv-newest/ready-$(notdir $(NEWEST_DEPS))

$(NEWEST_READY): $(NEWEST_DEPS)/ready setup.py
	rm -rf .venv-newest && $(NEWEST_PYTHON) -m venv --without-pip .venv-newest
	$(NEWEST_DEPS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > "$$(.venv-newest/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/deps.pth"
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Where that Python is neither installed nor to be had, it says so and runs the demo alone.
test-newest: demo
	@if test -n "$(NEWEST_PYTHON)" || $(RUN) uv python install --quiet --install-dir $(CACHE)/python $(NEWEST); then \
	  $(MAKE) compare-newest; else echo "Python $(NEWEST) is not installed and cannot be fetched: not run under it"; fi

compare-newest: $(NEWEST_READY)
	.venv-newest/bin/python -m demo.run --output out/newest
	diff -r $(OUT) out/newest

# CPU seconds of five small runs beside an earlier commit: BASE, else where this branch left origin/main, else the parent.
test-speed: $(READY)
	$(RUN) benchmarks.regression $(if $(BASE),--base $(BASE))

# The commands of docs/runners.md on real runners, fetched once from Go's proxy and Maven Central: 0.5 GB, for a time 1.2.
# RUNNERS names those to run; what cannot be had is skipped, with the reason.
test-runners: $(READY)
	RUNNERS="$(RUNNERS)" $(RUN) pytest -p no:cacheprovider -s -rs tests/runners

format: $(READY)
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

# The packages live outside the checkout, so that a fresh clone with the same lock file finds them.
$(DEPS)/ready:
	rm -rf $(DEPS) && mkdir -p $(CACHE)
	$(PYTHON) -m venv $(DEPS)
	$(DEPS)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(LOCK)
	$(DEPS)/bin/pip check
	touch $@

# The checkout's own environment: Winnow itself, and the packages above through one .pth file.
$(READY): $(DEPS)/ready setup.py
	rm -rf .venv && $(PYTHON) -m venv --without-pip .venv
	$(DEPS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > "$$(.venv/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/deps.pth"
	$(RUN) pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

lock: $(READY)
	$(RUN) uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra demo --extra images setup.py --output-file requirements/base.txt
	$(RUN) uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra demo --extra dev --constraint requirements/base.txt setup.py --output-file $(LOCK)
	cp $(LOCK) $(NEWEST_LOCK)  # whose versions uv keeps where it can
	$(RUN) uv pip compile --quiet --python-version $(NEWEST) --generate-hashes --no-header --no-annotate \
	  --extra demo setup.py --output-file $(NEWEST_LOCK)
	$(RUN) uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  requirements/tfio.in --output-file $(TFIO_LOCK)
	$(RUN) uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --constraint $(LOCK) requirements/loaders.in --output-file $(LOADERS_LOCK)
	$(RUN) uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --constraint $(LOCK) requirements/docs.in --output-file $(DOCS_LOCK)
	$(RUN) uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra demo --extra images --constraint requirements/base.txt --excludes requirements/launcher-excludes.txt setup.py \
	  --output-file requirements/launcher.txt

# What is written from the flags: the parameters of the Flex Templates and docs/cli.md; and the page of costs.
templates: $(READY)
	$(RUN) beam_pipelines.cloud.template_metadata --output templates
	$(RUN) beam_pipelines.cloud.costpage --output docs/cost.md
	$(RUN) tests.test_docs
	$(RUN) tests.python_flags

# What can be proved of terraform/ without a cloud; needs terraform and npm, and 150 MB of packages, once.
terraform-test: $(READY)
	$(RUN) tests.terraform.run

# The install steps of the images, in clean environments; 4 GB of packages.
images-test: $(READY)
	$(RUN) tests.integration.images

# Retrains the tiny network's projections from nothing; needs Debian's apt-get and npm for the pictures, 15 minutes.
demo-model: $(READY)
	rm -rf demo/work/training demo/work/model
	$(RUN) demo.make_pool --assets demo/work/assets --training demo/work/training
	$(RUN) beam_pipelines.train_filter --input 'demo/work/training/*.tar' --output demo/work/model --model tinyclip
	$(RUN) demo.export_projections --model demo/work/model

clean:
	rm -rf .venv out build dist *.egg-info
