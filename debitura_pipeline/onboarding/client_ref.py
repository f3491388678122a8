"""The identity of a client, and the partition key made from it. A key is parsed once, where it enters the program."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote


@dataclass(frozen=True, order=True)
class ClientRef:
    """One client record. A tenant id alone does not identify it: it may be reused for another record.

    Raises ValueError if either id is empty, or if the creditor id contains `@`.
    """

    tenant: str
    creditor_id: str

    def __post_init__(self) -> None:
        if not self.tenant or not self.creditor_id or "@" in self.creditor_id:
            raise ValueError("a client's partition key needs a tenant id and a creditor id")
        object.__setattr__(self, "creditor_id", self.creditor_id.lower())

    @property
    def key(self) -> str:
        """The partition key, `externalTenantId@creditorId`.

        The tenant id is percent-encoded (UTF-8), so that the key is safe in URLs and file names and its only `@` is the
        separator. `..` is encoded too, because Dagster reserves `...`.
        """
        return f"{quote(self.tenant, safe='').replace('..', '%2E%2E')}@{self.creditor_id}"

    @classmethod
    def parse(cls, key: str) -> ClientRef:
        """The client of a partition key. Raises ValueError."""
        tenant, separator, creditor_id = key.rpartition("@")
        if not separator or not tenant or not creditor_id:
            raise ValueError(f"{key!r} is not externalTenantId@creditorId")
        return cls(unquote(tenant, errors="strict"), creditor_id)
