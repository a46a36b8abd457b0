"""The `storage:` section of a source: how to reach an object store."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, Self

from pydantic import Field, SecretStr, model_validator

from cio_etl.model.records import dataclass
from cio_etl.model.yaml_section import Flag, Secret, Section, Text, omitted, wrong


@dataclass(frozen=True, slots=True)
class Storage:
    """How to reach an object store. A setting that is None comes from the environment, the profile or the role.

    For az:// the two keys are the account's name and its key.
    """

    endpoint: str | None = None  # http://127.0.0.1:9000: another server with the protocol of S3 (or of Azure)
    region: str | None = None
    profile: str | None = None  # of ~/.aws, S3 only
    anonymous: bool = False  # public objects: requests are not signed
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None

    @property
    def lacks_key(self) -> bool:
        """Whether a key is named, but was not looked up."""
        return self.access_key_id is not None and not self.access_key_id.get_secret_value()


class StorageYaml(Section):
    """How an object store is reached, where the environment does not say it."""

    goes_with: ClassVar = {
        "access_key_id": ("secret_access_key",),
        "secret_access_key": ("access_key_id",),
    }

    endpoint: Text = omitted("the address of MinIO or of another server with the S3 protocol")
    region: Text = omitted("the region of the store, if the environment does not set it")
    profile: Text = omitted("a profile of the AWS configuration files; needs the extra `aws`")
    anonymous: Flag = Field(False, description="`true`: a public store, read without keys")
    access_key_id: Secret = omitted("a reference, as `${AWS_ACCESS_KEY_ID}`; for `az://` the name of the account")
    secret_access_key: Secret = omitted(
        "a reference, as `${AWS_SECRET_ACCESS_KEY}`; for `az://` the key of the account"
    )

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        if len(written & {"access_key_id", "secret_access_key"}) == 1:
            yield "access_key_id and secret_access_key go together"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if sum((self.anonymous, self.access_key_id is not None, self.profile is not None)) > 1:
            raise wrong("write one of anonymous, profile, and the two keys")
        return self


def to_storage(section: StorageYaml | None) -> Storage | None:
    """The record of a `storage:` section; None when it is omitted."""
    return None if section is None else Storage(**dict(section))


def storage_key() -> Any:
    """The field of `storage:`, which the kinds of files and lake tables share."""
    return omitted("how to reach the object store. See Object storage.", "environment, profile, role")
