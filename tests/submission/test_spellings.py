"""References that are spelled alike: which claim a case is of, and what waits for what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.page_metadata import Page, parse_page_metadata
from debitura_pipeline.contract.listings import CASES, Query
from debitura_pipeline.source import Claim, SourceRead
from debitura_pipeline.submission import lookups, other_spellings
from debitura_pipeline.submission.attention import read_claims_attention
from debitura_pipeline.submission.claims_plan import ClaimsPlan
from debitura_pipeline.submission.decision import FoundCase
from debitura_pipeline.submission.gather import Gatherer
from debitura_pipeline.submission.lookups import fold_spelling, read_listing
from debitura_pipeline.submission.other_spellings import OtherSpellings
from debitura_pipeline.submission.record import Records
from debitura_pipeline.submission.states import Record
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.submission.partner import Claims, claims, fault, new_number
from tests.support.prepared import lay_warehouse


@pytest.mark.parametrize(
    ("state", "values"),
    [("conflict", {"attempts": 1}), ("refused", {"http_status": 422, "error_types": "x", "attempts": 1}), ("planned", {})],
)  # fmt: skip
def test_claim_that_is_put_off_keeps_what_its_next_decision_rests_on(
    partner: Claims, tenant: str, state: str, values: dict[str, Any]
) -> None:
    """A claim that waited for a person was sent once something else had put it off."""
    (wanted,) = claims(tenant, creditor_reference=f"INV-{new_number()}")
    partner.wants(wanted)
    (planned,) = partner.plan().claims
    assert planned.row is not None
    record = planned.record.having(state=state, claim_hash=planned.row.row_hash, **values)
    at = partner.now()
    doubt = Record(record.external_tenant_id, record.creditor_reference.lower(), record.creditor_id, state="sent",
                   unanswered=1, intent_at=at, last_attempt_at=at)  # fmt: skip
    lay_warehouse(partner.settings)
    with open_warehouse(partner.settings) as warehouse:
        Records(warehouse).store([record, doubt])
    for _ in range(2):
        partner.wants({**wanted, "amount": "9"} if state == "refused" else wanted)
        partner.apply()
        assert partner.states()[record.creditor_reference] == state
    assert partner.posts() == []


def test_two_spellings_in_one_apply_wait_for_each_other(partner: Claims, tenant: str) -> None:
    upper, lower = claims(tenant, 2)
    upper["creditor_reference"] = f"INV-{new_number()}"
    lower["creditor_reference"] = upper["creditor_reference"].lower()
    partner.wants(upper, lower)
    partner.sandbox.faults(fault("status", status=500))
    assert partner.apply().document.summary == {"planned": 1, "sent": 1}
    assert len(partner.keys()) == 1
    partner.later(minutes=16)
    assert partner.apply().document.summary == {"planned": 1, "submitted": 1}
    assert partner.apply().document.summary == {"submitted": 2}


def test_pseudonym_of_a_reference_protects_its_case_too(partner: Claims, tenant: str) -> None:
    upper, lower = claims(tenant, 2)
    upper["creditor_reference"] = f"KIM.{new_number()}@EXAMPLE.COM"
    lower["creditor_reference"] = upper["creditor_reference"].lower()
    partner.wants(upper)
    assert partner.apply().document.summary == {"submitted": 1}
    partner.wants(upper, lower)
    partner.sandbox.faults(fault("status", status=500))
    assert partner.apply().document.summary == {"sent": 1, "submitted": 1}
    partner.later(minutes=16)
    assert partner.apply().document.summary == {"submitted": 2}


@pytest.mark.parametrize("has_row", [True, False])
def test_case_of_another_spelling_of_the_reference_is_another_claims(
    partner: Claims, tenant: str, *, has_row: bool
) -> None:
    """The listing's search ignores letter case, and showed the case of one claim for the other."""
    upper, lower = claims(tenant, 2)
    upper["creditor_reference"], lower["creditor_reference"] = (f"{letters}-{new_number()}" for letters in ("INV", "x"))
    lower["creditor_reference"] = upper["creditor_reference"].lower()
    partner.wants(upper)
    assert partner.apply().document.summary == {"submitted": 1}
    partner.wants(upper, lower)
    partner.sandbox.faults(fault("status", status=500))
    partner.apply()
    assert partner.states()[lower["creditor_reference"]] == "sent"
    partner.sandbox.faults()
    partner.wants(*([upper] if has_row else []), lower)
    partner.later(minutes=16)
    assert partner.apply().document.summary == {"submitted": 1 + has_row}


def test_other_spelling_of_a_claim_in_doubt_waits(partner: Claims, tenant: str) -> None:
    """A reference that was corrected while in doubt may be the same claim."""
    (wanted,) = claims(tenant, creditor_reference=f"INV-{new_number()}")
    partner.sandbox.undocumented(lookup_delay_s=3_600.0)
    partner.sandbox.faults(fault("close", effect="now"))
    partner.wants(wanted)
    assert partner.apply().document.summary == {"sent": 1}
    reference = wanted["creditor_reference"]
    partner.wants({**wanted, "creditor_reference": reference.lower()})
    applied = partner.apply()
    assert applied.document.summary == {"planned": 1, "sent": 1}
    assert f"waits until it is known what became of {reference}" in applied.document.rows[0].reasons[0]
    assert list(partner.keys()) == [reference]
    partner.later(hours=2)
    partner.wants(wanted)
    assert partner.apply().document.summary == {"submitted": 1}


def test_any_other_pseudonym_waits_for_one_in_doubt_whose_row_is_gone(partner: Claims, tenant: str) -> None:
    """Pseudonyms have no letter case: of `Re-McDonald@…`, corrected to `Re-mcdonald@…`, only the first is stored as it was."""
    (wanted,), (other,) = claims(tenant, creditor_reference=f"Re-McDonald{new_number()}@mail.example"), claims(tenant)
    partner.sandbox.undocumented(lookup_delay_s=3_600.0)
    partner.sandbox.faults(fault("close", effect="now"))
    partner.wants(wanted)
    assert partner.apply().document.summary == {"sent": 1}
    respelled = wanted["creditor_reference"].replace("McDonald", "mcdonald")
    partner.wants({**wanted, "creditor_reference": respelled}, other)
    applied = partner.apply()
    assert applied.document.summary == {"planned": 1, "sent": 1, "submitted": 1}
    assert "whose row is gone: it may be another spelling of its reference" in applied.document.rows[0].reasons[0]
    assert sorted(partner.keys()) == sorted([wanted["creditor_reference"], other["creditor_reference"]])
    partner.later(hours=2)
    partner.wants(wanted)
    assert partner.apply().document.summary == {"submitted": 1}
    later = claims(tenant, 2, creditor_reference=f"RE-SMITH{new_number()}@mail.example")
    partner.wants({**later[0], "amount": "7.50"})
    assert partner.apply().document.summary == {"submitted": 1}
    partner.wants({**later[1], "creditor_reference": respelled})
    assert partner.apply().document.summary == {"conflict": 1}, (
        "of a submitted claim, whose row is gone, with its amount"
    )


@pytest.fixture
def elsewhere(partner: Claims, tmp_path: Path) -> Claims:
    """The same partner with another data directory, whose records `partner` does not have."""
    return Claims(tmp_path / "elsewhere", partner.sandbox)


@pytest.mark.parametrize(
    ("theirs", "ours", "shown_by"),
    [
        ("INV", "inv", "listing"), ("inv", "INV", "warehouse"), ("INV", "inv", "search"),
        ("Caf\u00e9", "Cafe\u0301", "listing"), ("CAF\u00c9", "caf\u00e9", "listing"), ("CAFE\u0301", "caf\u00e9", "warehouse"),
    ],
)  # fmt: skip
def test_claim_whose_case_exists_under_another_spelling_is_not_sent(
    partner: Claims,
    elsewhere: Claims,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
    theirs: str,
    ours: str,
    shown_by: str,
) -> None:
    """The lookup by reference compares exactly, so there were two cases."""
    (wanted,) = claims(tenant)
    number = new_number()
    elsewhere.wants({**wanted, "creditor_reference": f"{theirs}-{number}"})
    assert elsewhere.apply().document.summary == {"submitted": 1}
    if shown_by == "warehouse":
        partner.sync()
        monkeypatch.setattr(OtherSpellings, "of", no_case)
    if shown_by == "search":
        monkeypatch.setattr(other_spellings, "read_listing", too_many)
    sent = len(partner.posts())
    partner.wants({**wanted, "creditor_reference": f"{ours}-{number}"})
    for _ in range(2):
        document = partner.apply().document
        assert document.summary == {"conflict": 1}
        assert "differs in creditor_reference" in document.rows[0].reasons[0]
    assert len(partner.posts()) == sent
    partner.wants({**wanted, "creditor_reference": f"{theirs}-{number}"})
    assert partner.apply().document.summary == {"already_there": 1}


async def too_many(*args: Any, **options: Any) -> Any:
    """As of a client with more cases than are listed: only a search for a text shows them."""
    return await read_listing(*args, **options) if len(args) > 3 else None


async def no_case(*_: Any, **__: Any) -> tuple[list[FoundCase], list[FoundCase]]:
    """As of cases that are older than the last reading of all cases."""
    return [], []


def test_another_claims_case_does_not_hold_up_one_with_a_similar_reference(
    partner: Claims, elsewhere: Claims, tenant: str
) -> None:
    upper, lower = claims(tenant, 2)
    upper["creditor_reference"] = f"INV-{new_number()}"
    lower["creditor_reference"] = upper["creditor_reference"].lower()
    elsewhere.wants(upper)
    assert elsewhere.apply().document.summary == {"submitted": 1}
    partner.wants(upper, lower)
    assert partner.apply().document.summary == {"already_there": 1, "submitted": 1}


def test_claim_that_is_refused_for_another_rows_case_says_whose(partner: Claims, tenant: str) -> None:
    """An API that ignores letter case has no case to show for it: the person is told what helps."""
    upper, lower = claims(tenant, 2)
    upper["creditor_reference"] = f"INV-{new_number()}"
    lower["creditor_reference"] = upper["creditor_reference"].lower()
    partner.sandbox.undocumented(duplicates_ignore_case=True)
    partner.wants(upper)
    assert partner.apply().document.summary == {"submitted": 1}
    partner.wants(upper, lower)
    partner.apply()
    partner.later(minutes=16)
    document = partner.apply().document
    assert document.summary == {"sent": 1, "submitted": 1}
    case_id = partner.records()[upper["creditor_reference"]].case_id
    (reasons,) = [row.reasons for row in document.rows if row.state == "sent"]
    assert f"another row's, whose case is {case_id}; give this row another reference" in " ".join(reasons)


def test_row_whose_reference_is_respelled_after_its_case_was_created_is_not_sent_again(
    partner: Claims, tenant: str
) -> None:
    """The record of the old spelling made it look like another claim's case."""
    (wanted,) = claims(tenant)
    reference = wanted["creditor_reference"]
    partner.wants(wanted)
    assert partner.apply().document.summary == {"submitted": 1}
    partner.wants({**wanted, "creditor_reference": reference.lower()})
    for _ in range(2):
        assert partner.apply().document.summary == {"conflict": 1}
    assert list(partner.keys()) == [reference]
    partner.wants(wanted)
    assert partner.apply().document.summary == {"submitted": 1}
    problems = read_claims_attention(partner.settings, wait_s=1.0)["problems"]
    assert problems == [], "the spelling that has no row any more needs nobody"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("INV-{}", "inv-{}"),
        ("INV-00123456789{}", "inv-00123456789{}"),
        ("kay\u0131t-{}", "KAYIT-{}"),
        ("\u2167-{}", "\u2177-{}"),
    ],
    ids=["letters", "stored as a pseudonym", "i without a dot", "a sign that is no letter"],
)
def test_respelled_row_is_not_sent_although_nothing_lists_its_case(
    partner: Claims, tenant: str, first: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing may lag, or leave out test cases; that the claim was submitted is known here."""
    monkeypatch.setattr(OtherSpellings, "of", no_case)
    (wanted,) = claims(tenant)
    number = new_number()
    partner.wants({**wanted, "creditor_reference": first.format(number)})
    assert partner.apply().document.summary == {"submitted": 1}
    partner.wants({**wanted, "creditor_reference": then.format(number)})
    assert partner.apply().document.summary == {"conflict": 1}


def test_respelled_row_waits_while_its_pseudonym_is_in_doubt(partner: Claims, tenant: str) -> None:
    (wanted,) = claims(tenant, creditor_reference=f"RE-00123456{new_number():04}")
    partner.wants(wanted)
    partner.sandbox.undocumented(lookup_delay_s=3_600.0)
    partner.sandbox.faults(fault("close", effect="now"))
    assert partner.apply().document.summary == {"sent": 1}
    partner.wants({**wanted, "creditor_reference": wanted["creditor_reference"].lower()})
    assert partner.apply().document.summary == {"planned": 1, "sent": 1}
    assert len(partner.posts()) == 1


def test_conflict_with_a_case_that_turns_out_to_be_another_rows_is_over(
    partner: Claims, elsewhere: Claims, tenant: str
) -> None:
    upper, lower = claims(tenant, 2)
    lower["creditor_reference"] = upper["creditor_reference"].lower()
    elsewhere.wants(lower)
    assert elsewhere.apply().document.summary == {"submitted": 1}
    partner.wants(upper)
    assert partner.apply().document.summary == {"conflict": 1}
    partner.wants(upper, lower)
    assert partner.apply().document.summary == {"already_there": 1, "submitted": 1}


@pytest.mark.parametrize("is_swept", [False, True])
def test_case_is_seen_on_a_later_page_of_an_api_that_serves_small_ones(
    partner: Claims, elsewhere: Claims, tenant: str, monkeypatch: pytest.MonkeyPatch, *, is_swept: bool
) -> None:
    wanted, *others = claims(tenant, 5)
    elsewhere.wants({**wanted, "creditor_reference": wanted["creditor_reference"].lower()}, *others)
    assert elsewhere.apply().document.summary == {"submitted": 5}
    if is_swept:
        partner.sync()
    page = ApiClient.page

    async def small(client: ApiClient, query: Query, number: int, **options: Any) -> Page:
        whole = await page(client, query, 1, **options)
        document = json.loads(whole.body)
        document["cases"] = document["cases"][(number - 1) * 10 : number * 10]
        document["page"]["responseCount"] = len(document["cases"])
        body = json.dumps(document).encode()
        return Page(body, parse_page_metadata(body, query.listing))

    async def small_cases(client: ApiClient, query: Query, number: int, **options: Any) -> Page:
        return await (small if query.listing is CASES else page)(client, query, number, **options)

    monkeypatch.setattr(ApiClient, "page", small_cases)
    partner.wants(wanted, *others)
    applied = partner.apply().document
    assert applied.summary == {"already_there": 4, "conflict": 1}, [row.reasons for row in applied.rows]


def test_claim_has_its_own_case_although_another_one_is_spelled_alike(
    partner: Claims, elsewhere: Claims, tenant: str
) -> None:
    upper, lower = claims(tenant, 2)
    lower["creditor_reference"] = upper["creditor_reference"].lower()
    elsewhere.wants(upper, lower)
    assert elsewhere.apply().document.summary == {"submitted": 2}
    partner.sync()
    partner.wants(upper)
    assert partner.apply().document.summary == {"already_there": 1}


def test_claim_of_a_client_with_too_many_cases_waits_for_a_reading(
    partner: Claims, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "MAX_PAGES", 0)
    letters, digits = claims(tenant, 2)
    digits["creditor_reference"] = f"{new_number()}"
    partner.wants(letters, digits)
    applied = partner.apply()
    assert applied.document.summary == {"planned": 1, "submitted": 1}
    assert "debitura nightly" in applied.document.rows[0].reasons[0]


def test_case_that_is_created_during_the_apply_is_seen(
    partner: Claims, elsewhere: Claims, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's cases are listed once a minute at most, and what came since is listed then."""
    (wanted,) = claims(tenant)
    partner.wants(wanted)
    elsewhere.wants({**wanted, "creditor_reference": wanted["creditor_reference"].lower()})
    make_plan = Gatherer.make_plan

    async def slow_plan(gatherer: Gatherer, source: SourceRead[Claim]) -> ClaimsPlan:
        found = await make_plan(gatherer, source)
        assert (await asyncio.to_thread(elsewhere.apply)).document.summary == {"submitted": 1}
        partner.later(minutes=2)
        return found

    def only_once(gatherer: Gatherer, source: SourceRead[Claim]) -> Awaitable[ClaimsPlan]:
        monkeypatch.setattr(Gatherer, "make_plan", make_plan)
        return slow_plan(gatherer, source)

    monkeypatch.setattr(Gatherer, "make_plan", only_once)
    assert partner.apply().document.summary == {"conflict": 1}


def test_cases_of_a_client_are_listed_once_and_only_for_references_with_letters(partner: Claims, tenant: str) -> None:
    def listed() -> int:
        return partner.sandbox.log().get("GET /cases", 0)

    read = listed()
    partner.wants(*(claim | {"creditor_reference": f"{new_number()}-7"} for claim in claims(tenant, 3)))
    partner.plan()
    assert listed() == read
    partner.wants(*claims(tenant, 3))
    partner.plan()
    assert listed() == read + 1


def test_spellings_that_look_alike_are_told_by_letter_case_and_accents_alone() -> None:
    """The listing's spelling need not be the source's: an é may be one character or two."""
    alike = ("CAF\u00c9-9", "caf\u00e9-9", "cafe\u0301-9")
    assert len({fold_spelling(each) for each in alike}) == 1
    assert fold_spelling("cafe-9") != fold_spelling(alike[0])
