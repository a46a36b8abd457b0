"""Measures the command beside what people use today: `python -m tests.benchmarks.run`."""
