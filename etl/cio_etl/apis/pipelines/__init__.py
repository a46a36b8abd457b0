"""The Pipelines API: the record that describes it."""

from cio_etl.apis.api import Api, CredentialRequest, Limits
from cio_etl.apis.pipelines.endpoints import BATCH, HOSTS, RENEWAL, STRICT
from cio_etl.apis.pipelines.payloads import MIXED_PAYLOADS, PAYLOADS, VISITOR_PAYLOADS

PIPELINES = Api(
    name="pipelines",
    title="Pipelines",
    description="the Pipelines API, `/v1/batch`, in strict mode",
    hosts=HOSTS,
    credentials=("write_key",),
    renewal=RENEWAL,
    credential_request=CredentialRequest(BATCH.path, body=b'{"batch":[]}', headers=STRICT),
    batch=BATCH,
    payloads=PAYLOADS,
    visitor_payloads=VISITOR_PAYLOADS,
    mixed_payloads=MIXED_PAYLOADS,
    visitors_alone=False,
    example_key="pipelines",
    limits=Limits(requests_per_second=1_000, batch_bytes=500_000, item_bytes=32_000),
)
