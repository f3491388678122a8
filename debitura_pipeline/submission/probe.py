"""Measure what the API does with repeated and unanswered requests (A1 to A4), with test cases that are deleted afterwards.

Only for the test environment and the sandbox. What was found is kept by `submission/facts.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

from debitura_pipeline.api.connect import Runtime, open_rate_limiter
from debitura_pipeline.api.http import Timeouts
from debitura_pipeline.api.writes import WriteResponse
from debitura_pipeline.errors import ApiError, SettingsError, TransientApiError
from debitura_pipeline.registration.gather import partner_session
from debitura_pipeline.registration.listed import read_listed
from debitura_pipeline.settings import API_HOSTS, Endpoint, Settings
from debitura_pipeline.source import Claim
from debitura_pipeline.source.claims import PERSON
from debitura_pipeline.submission.answers import Created, Refusal
from debitura_pipeline.submission.apply import PATH, understood
from debitura_pipeline.submission.body import case_body
from debitura_pipeline.submission.facts import WriteFacts, keep_facts, utc
from debitura_pipeline.submission.lookups import Expected, by_reference
from debitura_pipeline.submission.sessions import Account, CustomerApi, TokenRefused
from debitura_pipeline.warehouse.identity import api_name

WAITS_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # a minute in all
CUT_OFF = Timeouts(10.0, 0.02, 0.05)  # gives up before an answer is likely
MAX_CLIENTS = 5  # tried until one of them may submit
WHAT = "Probing with a test case"


def probe_writes(settings: Settings, endpoint: Endpoint, runtime: Runtime | None = None) -> WriteFacts:
    """Measure, delete the test cases, keep the facts. Raises SettingsError on production, ApiError if nothing can be measured."""
    is_production = urlsplit(settings.api_url or "").hostname == urlsplit(API_HOSTS["production"]).hostname
    if settings.environment == "production" or is_production:
        raise SettingsError(
            "--probe-writes creates test cases, so it cannot be used on production. Example: DEBITURA_ENVIRONMENT=test"
        )
    facts = asyncio.run(_probe(settings, endpoint, runtime or Runtime()))
    keep_facts(settings, facts)
    return facts


async def _probe(settings: Settings, endpoint: Endpoint, runtime: Runtime) -> WriteFacts:
    async with partner_session(settings, endpoint, runtime) as (partner, _):
        limiter = open_rate_limiter(settings, endpoint, runtime)
        async with CustomerApi(settings, endpoint, partner, limiter, runtime) as customer:
            clients = [one for one in (await read_listed(partner)).values() if one.is_signed]
            for client in clients[:MAX_CLIENTS]:
                probe = _Probe(customer, Account(client.tenant, client.creditor_id), runtime, secrets.token_hex(6))
                try:
                    return await probe.measure(api_name(settings))
                except TokenRefused:
                    continue
                finally:
                    await probe.clean_up()
    raise ApiError("Nothing was measured: no client has signed everything and can get a token.")


@dataclass
class _Probe:
    customer: CustomerApi
    account: Account
    runtime: Runtime
    name: str
    has_sent: bool = False

    @property
    def tag(self) -> str:
        return f"debitura-pipeline-probe-{self.name}"

    async def measure(self, api: str) -> WriteFacts:
        """The facts. Raises ApiError if the first test case is not created."""
        first = await self._create(1, "a")
        if not isinstance(first, Created):
            types = ", ".join(first.types) if isinstance(first, Refusal) else "no answer"
            raise ApiError(f"Nothing was measured: the first test case was not created ({types}).")
        facts = WriteFacts(api, utc(self.runtime.now()), lookup_delay_s=await self._shown_after(1))
        again = await self._create(1, "a")
        if isinstance(again, (Created, Refusal)):
            is_same = isinstance(again, Created) and again.case.case_id == first.case.case_id
            facts = replace(facts, keys_honoured=is_same)
        other = await self._create(1, "b")
        if isinstance(other, Created):
            facts = replace(facts, refuses_duplicates=other.case.case_id == first.case.case_id)
        elif isinstance(other, Refusal):
            facts = replace(facts, refuses_duplicates=other.names_a_case or None)
        return replace(facts, late_effect=await self._late_effect())

    async def _late_effect(self) -> bool | None:
        """Whether a request that got no answer took effect only later than a case takes to show; None if it was answered."""
        try:
            await self._write(2, "a", CUT_OFF)
        except TransientApiError:
            shown = await self._shown_after(2)
            return shown is not None and shown > WAITS_S[-2]
        return None

    async def _shown_after(self, number: int) -> float | None:
        """Seconds until the lookup shows a test case; None if it does not within a minute."""
        waited = 0.0
        for wait_s in WAITS_S:
            await self.runtime.sleep(wait_s)
            waited += wait_s
            expected = Expected(self._claim(number).reference)
            found = await self.customer.read(self.account, lambda client, wanted=expected: by_reference(client, wanted))  # type: ignore[misc]
            if found[0]:
                return waited
        return None

    async def _create(self, number: int, key: str) -> Any:
        try:
            return understood(await self._write(number, key), Expected(self._claim(number).reference))
        except TransientApiError:
            return None

    async def _write(self, number: int, key: str, timeouts: Timeouts | None = None) -> WriteResponse:
        def note() -> None:  # a client without a token is not sent anything
            self.has_sent = True

        body, key = case_body(self._claim(number), self.tag), f"{self.tag}-{number}{key}"
        return await self.customer.write(
            self.account, "POST", PATH, body, key=key, what=WHAT, timeouts=timeouts, on_turn=note
        )

    def _claim(self, number: int) -> Claim:
        return Claim(
            tenant=self.account.tenant,
            reference=f"probe-{self.name}-{number}",
            amount="100",
            currency="EUR",
            debtor_type=PERSON,
            debtor_name="Test Case",
            debtor_country="DK",
            debtor_address="Testvej 1",
            debtor_zip_code="1000",
            debtor_city="Testby",
            is_test=True,
        )

    async def clean_up(self) -> None:
        """Delete the test cases by their tag, if any was sent. Raises ApiError if they may still be there."""
        if not self.has_sent:
            return
        path, what = f"/test/cases?tag={quote(self.tag, safe='')}", "Deleting test cases"
        by_hand = f"Delete the cases with the tag {self.tag} by hand; nothing was kept."
        try:
            answer = await self.customer.write(self.account, "DELETE", path, b"", key=f"{self.tag}-delete", what=what)
        except ApiError as error:
            raise ApiError(f"{what} failed: {error} {by_hand}") from None
        if not 200 <= answer.status < 300:
            raise ApiError(f"{what} failed: HTTP {answer.status}. {by_hand}")
