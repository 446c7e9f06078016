# Everything by one command each. `make help` lists them.
PYTHON ?= python3
CONFIG_IS_GIVEN := $(filter command environment,$(word 1,$(origin CONFIG)))
CONFIG ?= configs/demo.yaml
REHEARSED = configs/rehearsal.yaml
ifndef CONFIG_IS_GIVEN
compare system: CONFIG = configs/compare.yaml
ablation: CONFIG = configs/ablation.yaml
rehearse: CONFIG = $(REHEARSED)
endif
LUMBAR := .venv/bin/lumbar
OPTIONS = --config "$(CONFIG)" $(if $(DATA),--data "$(DATA)")

.DEFAULT_GOAL := help
.PHONY: help install demo cv compare system ablation submission predict folds detect crop grade ensemble data weights bundle bundle-training inference-kernel \
	lint-kaggle push replay rehearse report test test-cluster bench fuzz lint pictures clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18
	@echo "Options: CONFIG=configs/<name>.yaml, DATA=<a folder in the competition's layout>"

install: .venv/installed ## Create .venv and install the package into it

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(v not in [(3, 11), (3, 12)] and f'Python 3.11 or 3.12 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.12')"
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

demo: ## The whole pipeline on a synthetic competition: CV table, cv.json, submission.csv
	$(MAKE) --no-print-directory cv CONFIG=configs/demo.yaml DATA= WORKERS=2
	$(MAKE) --no-print-directory submission CONFIG=configs/demo.yaml DATA=

cv: install ## Run every stage on the training studies and score it (WORKERS=2: so many folds at a time)
	$(LUMBAR) cv $(OPTIONS) $(if $(WORKERS),--workers $(WORKERS))

submission: install ## Predict the test studies with the run's models and write submission/submission.csv
	$(LUMBAR) submit $(OPTIONS)

compare: install ## The five published systems beside the main pipeline, in one table (SYSTEMS=a,b FULL=1: at their papers' sizes)
	$(LUMBAR) compare $(OPTIONS) $(if $(FULL),--full-size) $(if $(SYSTEMS),--systems "$(SYSTEMS)")

system: install ## One published system by itself: NAME=<it> (FULL=1); without NAME, the list of them
	$(LUMBAR) system $(if $(NAME),run "$(NAME)" $(OPTIONS) $(if $(FULL),--full-size),list --config "$(CONFIG)")

ablation: install ## What each piece of a grader is worth, on the bench's phantom (hours)
	$(LUMBAR) ablation $(OPTIONS)

predict: install ## Grade one study: STUDY=<a folder of DICOM files> OUT=<where its page goes> (MODELS=runs/demo/models)
	$(if $(STUDY),,$(error STUDY=<a folder of DICOM files> is needed))
	$(LUMBAR) predict "$(STUDY)" $(if $(MODELS),--models "$(MODELS)") $(if $(OUT),--out "$(OUT)")

folds: install ## Stage: write or check the fold file
detect: install ## Stage: train the detectors, write out-of-fold points
crop: install ## Stage: cut crops around the points
grade: install ## Stage: train the graders, write out-of-fold predictions
ensemble: install ## Stage: blend the out-of-fold predictions
folds detect crop grade ensemble:
	$(LUMBAR) $@ $(OPTIONS)

data: install ## Fetch the competition's data by Kaggle's command (OUT=data)
	$(LUMBAR) data download $(if $(OUT),--out "$(OUT)")

weights: install ## Fetch weights to start from: NAME=<a timm model, or yolov8n to yolov8x> (OUT=weights)
	$(if $(NAME),,$(error NAME=<a timm model, or yolov8n to yolov8x> is needed))
	$(LUMBAR) weights get "$(NAME)" $(if $(OUT),--out "$(OUT)")

bundle: install ## Pack the run's models, the package and its wheels for Kaggle (OWNER=<your user name>)
	$(LUMBAR) kaggle bundle $(OPTIONS) $(if $(OWNER),--owner "$(OWNER)")

bundle-training: install ## Pack what training on Kaggle needs (OWNER=, FOLD=0, GROUP=spinal, RUN=2, FROM=<kernels>)
	$(LUMBAR) kaggle train --config "$(CONFIG)" $(if $(OWNER),--owner "$(OWNER)") $(if $(FOLD),--fold $(FOLD)) \
		$(if $(GROUP),--group $(GROUP)) $(if $(RUN),--run $(RUN)) $(foreach kernel,$(FROM),--from "$(kernel)")

inference-kernel: install ## Write the inference kernel for models trained on Kaggle (OWNER=, FROM=<the training kernel>)
	$(if $(FROM),,$(error FROM=<the training kernel, as owner/name> is needed))
	$(LUMBAR) kaggle bundle $(if $(OWNER),--owner "$(OWNER)") $(foreach kernel,$(FROM),--from "$(kernel)")

lint-kaggle: install ## Check what is packed in submission/ against Kaggle's rules
	$(LUMBAR) kaggle lint

push: install ## Check it, upload it with the kaggle command, print what is left to do (KERNEL=training, DRY=1, DATA_SET=no)
	$(LUMBAR) kaggle push $(KERNEL) $(if $(DRY),--dry-run) $(if $(filter no,$(DATA_SET)),--no-data)

replay: install ## Check that the kernel's code reproduces the out-of-fold predictions of a fold (FOLD=0)
	$(LUMBAR) kaggle replay --fold $(or $(FOLD),0) $(OPTIONS)

# The small run that is rehearsed by default is made where it is not there; any other is taken as it is.
runs/rehearsal/models/ensemble.json: | .venv/installed
	$(LUMBAR) cv --config $(REHEARSED) --workers 2

rehearse: MAX_SIZE ?= 256
rehearse: install $(if $(CONFIG_IS_GIVEN),,runs/rehearsal/models/ensemble.json) ## Run the kernel as Kaggle would, on a hidden test of STUDIES=24 (KILLS=20, FAULTS=1, MAX_SIZE= for native sizes)
	$(LUMBAR) kaggle rehearse $(OPTIONS) $(if $(STUDIES),--studies $(STUDIES)) $(if $(MAX_SIZE),--max-size $(MAX_SIZE)) $(if $(RENDERED),--rendered $(RENDERED)) \
		$(if $(MEMORY),--memory $(MEMORY)) $(if $(KILLS),--kills $(KILLS)) $(if $(FAULTS),--faults) $(if $(LAYOUT),--layout $(LAYOUT))

report: install ## Draw what a run has found: runs/<name>/report.html (STUDIES=<shown one by one>)
	$(LUMBAR) report $(OPTIONS) $(if $(STUDIES),--studies $(STUDIES))

test: install ## Run the tests
	.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-cluster: install ## Test lumbar cv --ray on a cluster of three nodes on this machine, which loses one (installs Ray)
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[cluster]'
	.venv/bin/python -m pytest tests/cluster_ray.py -p no:xdist

# What is timed are the demo's models, which are made where they are not there.
runs/demo/models/ensemble.json: | .venv/installed
	$(LUMBAR) cv --config configs/demo.yaml --workers 2
bench: install runs/demo/models/ensemble.json ## How fast each stage is beside its floor: a table, and build/bench.json
	mkdir -p build
	.venv/bin/python -m pytest tests/bench_speed.py -p no:xdist --benchmark-json build/bench.json --benchmark-group-by group,param \
		--benchmark-columns min,mean,stddev,rounds

fuzz: install ## Read thousands of broken files: each must be read or named (COUNT=20000)
	.venv/bin/python tests/fuzz_reader.py --count $(or $(COUNT),20000)

lint: install ## Check style and types
	.venv/bin/ruff check src tests kernels
	.venv/bin/ruff format --check src tests kernels
	.venv/bin/mypy

pictures: install ## Draw docs/phantom.md's pictures
	$(LUMBAR) phantom pictures --out docs/pictures

clean: ## Remove runs, phantoms and caches, not the folds nor .venv
	rm -rf runs data/phantom-* build .pytest_cache .mypy_cache .ruff_cache submission/submission.csv submission/run_report.json \
		submission/bundle submission/training submission/kernels
