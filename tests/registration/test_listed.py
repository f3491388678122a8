"""The listing of clients is read whole, however many rows the API serves on a page."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest

from debitura_pipeline.api.page_metadata import Page, PageMetadata
from debitura_pipeline.registration.listed import read_listed

CLIENTS = 120


class Pages:
    """An API that serves at most `most` rows on a page, whatever is asked for."""

    def __init__(self, most: int) -> None:
        self.most = most

    async def page(self, _: Any, number: int) -> Page:
        places = range(CLIENTS)[(number - 1) * self.most : number * self.most]
        rows = [{"externalTenantId": f"t-{place}", "client": {"id": str(UUID(int=place))}} for place in places]
        body = {"metadata": {"totalResults": CLIENTS}, "clients": rows}
        return Page(msgspec.json.encode(body), PageMetadata(CLIENTS, 100, number, len(rows), None, {}, True))


@pytest.mark.parametrize("most", [100, 50, 7, 1])
def test_smaller_pages_than_were_asked_for(most: int) -> None:
    found = asyncio.run(read_listed(Pages(most)))  # type: ignore[arg-type]
    assert set(found) == {f"t-{place}" for place in range(CLIENTS)}
