"""The OpenLineage events of a run, with the lineage of columns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from conftest import Shop

from cio_etl.airflow.lineage import Flow, operator_lineage
from cio_etl.airflow.operators import CustomerIORunOperator

pytest.importorskip("airflow.providers.openlineage")


def test_a_run_tells_its_sources_and_column_by_column_what_they_became(shop: Shop) -> None:
    heard: list[Any] = []
    told = CustomerIORunOperator.get_openlineage_facets_on_complete
    dag = shop.dag()
    ran: list[CustomerIORunOperator] = []
    execute = CustomerIORunOperator.execute

    class Heard(CustomerIORunOperator):
        def execute(self, context: Any) -> Any:
            ran.append(self)
            return execute(self, context)

    dag.task_dict["run"].__class__ = Heard
    assert shop.run(dag).state == "success"
    child = os.fork()  # as Airflow's listener does, once polars has run
    if child == 0:
        os._exit(0 if told(ran[0], None).outputs else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    heard.append(told(ran[0], None))
    (lineage,) = heard
    file = str(shop.folder / "people.csv")
    assert [(dataset.namespace, dataset.name) for dataset in lineage.inputs] == [("file", file)]
    (people,) = lineage.outputs
    host = shop.sandbox.url.partition("://")[2]
    assert (people.namespace, people.name) == (f"customerio://{host}", "people")
    assert people.outputFacets["outputStatistics"].rowCount == 400
    fields = people.facets["columnLineage"].fields
    read = {name: [(one.namespace, one.name, one.field) for one in of.inputFields] for name, of in fields.items()}
    assert read == {
        "identifiers.id": [("file", file, "id")],
        "attributes.email": [("file", file, "e_mail")],
        "attributes.plan": [("file", file, "plan")],
    }


def test_a_run_of_a_plan_reports_the_same_sources_and_columns(shop: Shop) -> None:
    program = f"""
from airflow.sdk import DAG
from cio_etl.airflow.operators import CustomerIOApplyOperator, CustomerIOPlanOperator
ran = []
class Heard(CustomerIOApplyOperator):
    def execute(self, context):
        ran.append(self)
        return super().execute(context)
with DAG("own") as dag:
    dag.ran = ran
    plan = CustomerIOPlanOperator(task_id="plan", job="jobs/people.yaml", folder={str(shop.folder)!r})
    Heard(task_id="apply", plan=plan.output["plan"], folder={str(shop.folder)!r})
"""
    dag = shop.dag_of(program, "own")
    assert shop.run(dag).state == "success"
    (ran,) = dag.ran
    lineage = ran.get_openlineage_facets_on_complete(None)
    assert [dataset.name for dataset in lineage.inputs] == [str(shop.folder / "people.csv")]
    (people,) = lineage.outputs
    assert people.outputFacets["outputStatistics"].rowCount == 400
    assert people.facets["columnLineage"].fields.keys() == {"identifiers.id", "attributes.email", "attributes.plan"}


def test_sources_are_named_as_others_name_them(tmp_path: Path) -> None:
    from pydantic import SecretStr

    from cio_etl.model import DeltaSource, ParquetSource, SqlSource

    url = SecretStr("postgresql+psycopg://me:secret@db.example:5433/shop")
    assert SqlSource(url, table=("sales", "orders")).datasets() == [("postgres://db.example:5433", "shop.sales.orders")]
    query = SqlSource(SecretStr("sqlite:////data/shop.db"), query="select 1", place="orders.sql")
    assert query.datasets() == [("sqlite", "shop.orders.sql")]
    assert ParquetSource(("s3://lake/orders/*.parquet",)).datasets() == [("s3://lake", "orders/*.parquet")]
    assert DeltaSource(str(tmp_path)).datasets() == [("file", str(tmp_path))]


def test_several_steps_into_one_place_are_one_dataset() -> None:
    to = ("customerio://x", "events")
    flows = [
        Flow("a", (("file", "a"),), to, {"event": ("kind",)}),
        Flow("b", (("file", "b"),), to, {"event": ("type",)}),
    ]
    lineage = operator_lineage(flows, {"a": {"accepted": 3}, "b": {"accepted": 4}})
    (events,) = lineage.outputs
    assert events.outputFacets["outputStatistics"].rowCount == 7
    assert [one.field for one in events.facets["columnLineage"].fields["event"].inputFields] == ["kind", "type"]
