# make demo   set up, make synthetic scenes, train the small full method, test it, draw what it sees
# make test   set up, lint, run the whole test suite
# make real   the same small model on real images: RAW=folder with hit_uav/ and drone_ir/
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
RAW ?= ../shared/data
DEMO_CONFIG := configs/quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic.py
DEMO_DIR := work_dirs/demo
REAL_CONFIG := configs/quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_real.py
REAL_DIR := work_dirs/real

.PHONY: install demo data real-data real smoke test lint doctor
install: $(VENV)/.installed

$(VENV)/.installed: requirements.txt setup.cfg
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 12) or sys.exit("error: Python 3.10 to 3.12 is needed, this is %d.%d; name another one: make PYTHON=python3.11 ..." % v)'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -r requirements.txt
	$(PY) -m pip install --no-build-isolation --no-deps -e .
	@# Machines without a display often lack the libraries that OpenCV's windows need.
	@$(PY) -c 'import cv2' 2>/dev/null || $(PY) -m pip install --force-reinstall --no-deps opencv-python-headless==5.0.0.93
	$(PY) tools/doctor.py
	@touch $@

doctor: install
	$(PY) tools/doctor.py

data/synthetic: | install
	$(PY) tools/data/synthesize.py $@ --train 800 --val 150 --size 320 256 --seed 0

demo: data/synthetic
	$(PY) tools/train.py $(DEMO_CONFIG) --work-dir $(DEMO_DIR) --amp --resume
	$(PY) tools/test.py $(DEMO_CONFIG) $(DEMO_DIR)/last.pth --work-dir $(DEMO_DIR)/test
	$(PY) tools/analysis/draw_grid.py $(DEMO_CONFIG) $(DEMO_DIR)/last.pth --out $(DEMO_DIR)/grid.png
	@echo "Picture: $(DEMO_DIR)/grid.png"

data/real: | install
	$(PY) tools/data/convert.py hit-uav $(RAW)/hit_uav data/hit_uav
	$(PY) tools/data/convert.py drone-ir $(RAW)/drone_ir data/drone_ir
	$(PY) tools/data/merge.py $@ data/hit_uav data/drone_ir

test: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pytest
