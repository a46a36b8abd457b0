"""Measures runs for programs that watch many: traces and metrics by OpenTelemetry, a text file for Prometheus.

names.py      every name, declared once: metrics, spans, attributes, labels
watching.py   begins to follow a run, where its job asks for it
watch.py      what a run calls; without a collector it does nothing
measured.py   what takes these calls when there is a collector, for spans.py and meters.py
spans.py      run, steps, batches as spans; how many batches at most
meters.py     rows, requests, pace, results as metrics
otlp.py       the way to the collector, and what becomes of a run when it is down: nothing
facts.py      what is told of a job beyond the report of its run
text_file.py  the file for the textfile collector of node_exporter
"""

from cio_etl.telemetry.facts import JobFacts
from cio_etl.telemetry.text_file import seconds_of, write_text_file
from cio_etl.telemetry.watch import Watch
from cio_etl.telemetry.watching import watching

__all__ = ["JobFacts", "Watch", "seconds_of", "watching", "write_text_file"]
