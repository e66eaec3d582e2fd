"""The parts of scripts/bench.py: what is measured, and beside which yardstick."""
