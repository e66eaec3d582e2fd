# Every target runs in the current environment; scripts/test.sh makes one.
export OMP_NUM_THREADS ?= 1

check: format-check lint types layers test

format:
	ruff format .
	ruff check --fix .
format-check:
	ruff format --check .
lint:
	ruff check .
types:
	mypy
layers:
	lint-imports
test:
	pytest -q -n 2
slow:
	pytest -q -m "slow or gpu"

.PHONY: check format format-check lint types layers test slow
