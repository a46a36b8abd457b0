"""Makes the three tasks of a run that a person approves: plan, approve, apply."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cio_etl.airflow.operators import CustomerIOApplyOperator, CustomerIOPlanOperator

WAIT = timedelta(hours=20)  # less than a day, so that the next night's run can start

Approve = bool | Mapping[str, Any]


def approved_run(
    approve: Approve, of_plan: Mapping[str, Any], of_run: Mapping[str, Any], shared: Mapping[str, Any]
) -> tuple[CustomerIOPlanOperator, Any, CustomerIOApplyOperator]:
    """A plan, its approval by a person in Airflow, and the run of it; each waits for the one before.

    `approve` may hold arguments of Airflow's ApprovalOperator, `of_plan` and `of_run` hold those of the plan and of the
    run alone, and `shared` those of both. Without an answer in time, the approval fails. After "Reject", the run is
    skipped; with `fail_on_reject`, the approval fails. It is not tried again, since that would ask once more. Raises
    ImportError when this Airflow has no ApprovalOperator.
    """
    operator = _approval_operator()
    plan = CustomerIOPlanOperator(task_id="plan", **of_plan, **shared)
    pulled = f"ti.xcom_pull(task_ids='{plan.task_id}'"
    question = {
        "task_id": "approve",
        "subject": f"Send the plan of {{{{ {pulled})['job'] }}}} to Customer.io?",
        "body": f"{{{{ {pulled}, key='markdown') }}}}",
        "response_timeout": WAIT,
        "retries": 0,
        **({"task_group": shared["task_group"]} if "task_group" in shared else {}),
        **(approve if isinstance(approve, Mapping) else {}),
    }
    approval = operator(**question)
    apply = CustomerIOApplyOperator(task_id="apply", plan=plan.output["plan"], **of_run, **shared)
    plan >> approval >> apply
    return plan, approval, apply


def _approval_operator() -> Any:
    from airflow.sdk.exceptions import AirflowException

    try:
        from airflow.providers.standard.operators.hitl import ApprovalOperator
    except (ImportError, AirflowException) as error:  # the second one where Airflow itself is too old
        from airflow import __version__

        raise ImportError(
            f"`approve` needs the ApprovalOperator of Airflow 3.3 with its package apache-airflow-providers-standard; "
            f"this is Airflow {__version__}: {error}"
        ) from None
    return ApprovalOperator
