"""Measurements, paired side by side in one run; `python -m bench.NAME` prints a table."""
