"""One DAG for each job file in `jobs` that has a schedule: for Airflow, in its DAGs folder or read from there."""

from pathlib import Path

from cio_etl.airflow.dags import build_dags

globals().update(build_dags(Path(__file__).parents[1] / "jobs"))
