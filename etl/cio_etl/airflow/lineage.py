"""Reports to OpenLineage which columns of which sources became which attributes at Customer.io.

Airflow's listener forks before it asks, so the part that needs polars runs in the task (`flows_of`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cio_etl.model import Dataset, Job


@dataclass(frozen=True, slots=True)
class Flow:
    """One step: its inputs, its output, and the columns from which each target of the mapping is made."""

    step: str
    inputs: tuple[Dataset, ...]
    output: Dataset
    columns: Mapping[str, tuple[str, ...]]


def flows_of(job: Job) -> list[Flow]:
    """The flow of each step of the job."""
    from cio_etl.apis import APIS, OPERATIONS

    host = (job.destination.base_url or APIS[job.destination.api].hosts["us"]).partition("://")[2]
    return [
        Flow(
            step.name,
            tuple(step.source.datasets()),
            (f"customerio://{host}", OPERATIONS[step.mapping.operation].subject),
            {target: value.sources for target, value in step.mapping.targets.items() if value.sources},
        )
        for step in job.steps
    ]


def operator_lineage(flows: Sequence[Flow], steps: Mapping[str, Mapping[str, int]]) -> Any:
    """OpenLineage's record of a finished task; `steps` are the counts of its summary."""
    from airflow.providers.common.compat.openlineage.facet import (
        ColumnLineageDatasetFacet,
        Fields,
        InputDataset,
        InputField,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    outputs = []
    for output in dict.fromkeys(flow.output for flow in flows):  # several steps may have the same output
        into = [flow for flow in flows if flow.output == output]
        fields: dict[str, list[Any]] = {}
        for flow in into:
            for target, columns in flow.columns.items():
                read = [InputField(*dataset, column) for dataset in flow.inputs for column in columns]
                fields[target] = fields.get(target, []) + read
        accepted = sum(steps[flow.step]["accepted"] for flow in into if flow.step in steps)
        outputs.append(
            OutputDataset(
                *output,
                facets={
                    "columnLineage": ColumnLineageDatasetFacet(
                        fields={target: Fields(inputFields=read) for target, read in fields.items()}
                    )
                },
                outputFacets={"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=accepted)},
            )
        )
    inputs = dict.fromkeys(dataset for flow in flows for dataset in flow.inputs)
    return OperatorLineage(inputs=[InputDataset(*dataset) for dataset in inputs], outputs=outputs)
