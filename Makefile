# make demo   set up, make synthetic scenes, train the small full method for an epoch, test it, draw what it sees
# make test   set up, lint, run the whole test suite
# make docs   build the documentation site into docs/_build/html; a warning is an error
# make tutorial   run the tutorial notebook, after make demo; an error in a cell is an error
# make data/real RAW=folder    convert HIT-UAV and the drone clips, and merge them
# make real-smoke RAW=folder   a few dozen training steps on them, then a test
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
RAW ?= ../shared/data
DEMO_CONFIG := configs/quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic.py
DEMO_DIR := work_dirs/demo
# Pretrained on other scenes, so that an epoch is enough: minutes, on processors without bfloat16 as well.
DEMO_START := results/starts/bnsa.pth
REAL_CONFIG := configs/quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_real.py
SMOKE := train_cfg.max_epochs=1 train_dataloader.dataset.indices=240 val_dataloader.dataset.indices=40 \
	test_dataloader.dataset.indices=40

# A process for each core, up to four, with one thread each; the tests of a file stay together, they share what they make.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile

.PHONY: install demo real-smoke test docs tutorial
install: $(VENV)/.installed

$(VENV)/.installed: requirements.txt setup.cfg setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 10) or sys.exit("error: expected Python 3.10 or newer, got %d.%d; name another one: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -r requirements.txt
	$(PY) -m pip install --no-build-isolation --no-deps -e .
	@# Machines without a display often lack the libraries that OpenCV's windows need.
	@$(PY) -c 'import cv2' 2>/dev/null || $(PY) -m pip install --force-reinstall --no-deps opencv-python-headless==5.0.0.93
	$(PY) tools/doctor.py
	@touch $@

data/synthetic: | install
	$(PY) tools/data/synthesize.py $@ --train 800 --val 150 --size 320 256 --seed 0

demo: data/synthetic
	$(PY) tools/train.py $(DEMO_CONFIG) --load-from $(DEMO_START) --epochs 1 --work-dir $(DEMO_DIR) --amp --resume
	$(PY) tools/test.py $(DEMO_CONFIG) $$(cat $(DEMO_DIR)/last_checkpoint) --work-dir $(DEMO_DIR)/test
	$(PY) tools/analysis/draw_grid.py $(DEMO_CONFIG) $$(cat $(DEMO_DIR)/last_checkpoint) --out $(DEMO_DIR)/grid.png
	@echo "Picture: $(DEMO_DIR)/grid.png"

data/hit_uav: | install
	$(PY) tools/data/convert.py hit-uav $(RAW)/hit_uav $@ --dev-dates 20210119

data/drone_ir: | install
	$(PY) tools/data/convert.py drone-ir $(RAW)/drone_ir $@ --dev-ratio 0.2

data/real: | data/hit_uav data/drone_ir
	$(PY) tools/data/merge.py $@ data/hit_uav data/drone_ir

# Shows that the real path works: 30 steps, then a test on every eighth image. Its scores mean nothing.
real-smoke: data/real
	$(PY) tools/train.py $(REAL_CONFIG) --work-dir work_dirs/smoke --amp --cfg-options $(SMOKE)
	$(PY) tools/test.py $(REAL_CONFIG) work_dirs/smoke/epoch_1.pth --work-dir work_dirs/smoke/test --cfg-options $(SMOKE)

test: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/lint-imports --no-cache
	@# Apart from the others: the road's tools run in forked processes, and a fork wants a process with few threads.
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(PY) -m pytest $(SIDE_BY_SIDE) tests/test_road
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(PY) -m pytest $(SIDE_BY_SIDE) --ignore tests/test_road

docs: install
	$(PY) -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "Site: docs/_build/html/index.html"

$(DEMO_DIR)/last_checkpoint: | install
	$(MAKE) demo

tutorial: install | $(DEMO_DIR)/last_checkpoint
	$(VENV)/bin/jupyter-execute --timeout=2400 --output=../../work_dirs/tutorial.ipynb docs/guide/tutorial.ipynb
	@echo "Notebook with its outputs: work_dirs/tutorial.ipynb"
