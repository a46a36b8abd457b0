"""Connects Airflow: a provider of the connection type `customerio`, tasks, and DAGs made from job files.

hook.py          the connection: credentials as variables for a job, and their test
operators.py     tasks: a run, a validation, a plan, and a run of a plan
approval.py      a plan, its approval by a person, and the run of it
plan_summary.py  a plan's counts for other tasks, for the log, and for the person who approves it
task_group.py    the tasks of one job as a group
dags.py          one DAG for each job of a folder that has a schedule
request.py       what a task is asked to do, its summary, and the params of a DAG
in_process.py    does the task's work in the task's own process
subprocess.py    does the task's work by the command, in an environment of its own
lineage.py       which columns became what, for OpenLineage

Airflow reads DAG files all day, and starts tasks by forking. polars does not survive a fork, so it is imported only in
a running task; tests/with_airflow asserts it. Importing this package loads nothing.
"""

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The provider's description, which Airflow reads by the entry point `apache_airflow_provider`."""
    text = {"type": ["string", "null"]}
    password = text | {"format": "password"}
    return {
        "package-name": "cio-etl",
        "name": "Customer.io",
        "description": "Loads files, tables and queries into Customer.io: mapped, checked, in order, resumable.",
        "integrations": [
            {
                "integration-name": "Customer.io",
                "external-doc-url": "https://docs.customer.io/api/track/",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": "Customer.io", "python-modules": ["cio_etl.airflow.hook"]}],
        "operators": [{"integration-name": "Customer.io", "python-modules": ["cio_etl.airflow.operators"]}],
        "connection-types": [
            {
                "connection-type": "customerio",
                "hook-class-name": "cio_etl.airflow.hook.CustomerIOHook",
                "hook-name": "Customer.io",
                "ui-field-behaviour": {
                    "hidden-fields": ["port", "schema"],
                    "relabeling": {"host": "Region", "login": "Site ID", "password": "API key"},  # nosec B105 # a label
                    "placeholders": {"host": "us, eu or auto", "extra": '{"WAREHOUSE_URL": "…"}'},
                },
                "conn-fields": {
                    "write_key": {
                        "label": "Write key",
                        "description": "For the Pipelines API, in place of site ID and API key",
                        "schema": password,
                    },
                },
            }
        ],
    }
