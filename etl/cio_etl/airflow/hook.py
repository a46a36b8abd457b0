"""Reads a connection of the type `customerio`, and tests whether Customer.io accepts it."""

from __future__ import annotations

from collections.abc import Mapping

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

REGIONS = ("us", "eu", "auto")
TEST_TIMEOUT_S = 5.0  # a person waits who has pressed "Test"


class CustomerIOHook(BaseHook):
    """A connection to Customer.io: login is the site ID, password the API key, host the region.

    Its extra may have the keys of other APIs, as `write_key` for the Pipelines API, and variables for job files under
    names in capitals, such as WAREHOUSE_URL.
    """

    conn_name_attr = "customerio_conn_id"
    default_conn_name = "customerio_default"
    conn_type = "customerio"
    hook_name = "Customer.io"

    def __init__(self, customerio_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.customerio_conn_id = customerio_conn_id

    def environment(self) -> dict[str, str]:
        """The connection's values, by the names that job files use. They are masked in logs."""
        connection = self.get_connection(self.customerio_conn_id)
        extra: Mapping[str, object] = connection.extra_dejson
        region = connection.host if connection.host in REGIONS else None
        values: dict[str, object] = {name: value for name, value in extra.items() if name.isupper()}
        values |= {f"CUSTOMERIO_{name.upper()}": value for name, value in extra.items() if name.endswith("_key")}
        values |= {"CUSTOMERIO_SITE_ID": connection.login, "CUSTOMERIO_API_KEY": connection.password}
        secrets = {name: str(value) for name, value in values.items() if value not in (None, "")}
        for value in secrets.values():
            mask_secret(value)
        return secrets | ({"CUSTOMERIO_REGION": region} if region else {})

    def test_connection(self) -> tuple[bool, str]:
        """Whether Customer.io accepts the credentials, and a sentence about it."""
        from pydantic import SecretStr

        from cio_etl.apis import APIS, allowed_address, variable
        from cio_etl.errors import EtlError
        from cio_etl.load import check_credentials, with_region
        from cio_etl.model import Destination

        host = self.get_connection(self.customerio_conn_id).host or "us"
        values = self.environment()
        api = next((api for api in APIS.values() if variable(api.credentials[-1]) in values), None)
        if api is None:
            return False, "there is neither an API key nor a write key"
        try:
            address = api.hosts.get(host, "") if host in REGIONS else allowed_address(host)
            request = Destination(
                api=api.name,
                base_url=address,
                credentials={key: SecretStr(values.get(variable(key), "")) for key in api.credentials},
                region="eu" if host == "eu" else "auto" if host == "auto" else "us",
                attempt_deadline_s=TEST_TIMEOUT_S,
            )
            greeting = check_credentials(request, TEST_TIMEOUT_S, persistent=True)
            with_region(request, greeting)
        except EtlError as error:
            return False, f"{error}; {error.remedy}" if error.remedy else str(error)
        except ValueError as error:
            return False, f"the region is us, eu or auto; as an address: {error}"
        belongs = f", which belong to the region {greeting.region}" if greeting.region else ""
        return True, f"{greeting.host} accepts the credentials{belongs}"
