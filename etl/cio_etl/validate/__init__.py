"""Dry runs: what a run would do, the payloads of the first rows, and the checks of job files. Nothing is sent."""
