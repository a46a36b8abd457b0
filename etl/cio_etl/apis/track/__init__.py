"""The Track API: the record that describes it."""

from cio_etl.apis.api import Api, CredentialRequest, Limits
from cio_etl.apis.track.endpoints import BATCH, HOSTS, RENEWAL, region
from cio_etl.apis.track.payloads import MIXED_PAYLOADS, PAYLOADS, VISITOR_PAYLOADS

TRACK = Api(
    name="track",
    title="Track",
    description="the Track API v2, `/batch`",
    hosts=HOSTS,
    credentials=("site_id", "api_key"),
    renewal=RENEWAL,
    credential_request=CredentialRequest("/api/v1/accounts/region", region=region),
    batch=BATCH,
    payloads=PAYLOADS,
    visitor_payloads=VISITOR_PAYLOADS,
    mixed_payloads=MIXED_PAYLOADS,
    visitors_alone=True,
    example_key="payload",
    limits=Limits(requests_per_second=1_000, batch_bytes=500_000, item_bytes=32_000),
)
