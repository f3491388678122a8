"""No personal text may leave the transformer: not in a file, a bad row, or drift. Damage if it breaks: a leak to the disk."""

from __future__ import annotations

import hmac
import json
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debitura_pipeline.api.label_words import is_label
from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.landing.business_key import is_pseudonym
from debitura_pipeline.landing.findings import Drift
from debitura_pipeline.landing.pseudonyms import Pseudonyms
from debitura_pipeline.landing.redact import scrub
from debitura_pipeline.landing.transform import PageTransformer, TransformedPages
from tests.landing.rows import KEY, MAKERS, PERSONAL_TEXTS, case_row, page

SECRETS = {
    "assignedUserEmail": "vibeke.lund@firma.example",
    "caseHandler": "Vibeke Lund",
    "callbackNumber": "+45 70 12 34 56",
    "portal": "https://portal.example/l/Qx7Zt",
    "remarks": ["Vibeke Lund called"],
    "nested": {"ownerName": "Lund", "deep": [{"iban": "DK5000400440116243", "text": "Ring Vibeke"}], "Vibeke Lund": 1},
    "Vibeke.Lund@firma.example": "ok",
    "debtorAlias": "Vibs",
    "phone": 4570123456,
    "line": 4570123457,
    "handledBy": "Lund",
}
SECRET_TEXTS = ("ibeke", "Lund", "70 12 34", "Qx7Zt", "firma.example", "DK5000400440116243", "Vibs", "457012345")


def _everything(transformed: TransformedPages, path: Path) -> bytes:
    transformed.write(path, 1)
    values = json.dumps(transformed.columns.to_pylist(), default=str, ensure_ascii=False)
    said = repr(transformed.bad) + repr(transformed.drift) + values
    return path.read_bytes() + said.encode() + repr(transformed.bad).encode("unicode_escape")


def _assert_silent(content: bytes) -> None:
    for text in (*PERSONAL_TEXTS, *SECRET_TEXTS, KEY.decode()):
        for form in (text, json.dumps(text).strip('"'), unicodedata.normalize("NFD", text)):
            assert form.encode() not in content, text


@pytest.mark.parametrize("resource", TABLES)
@pytest.mark.parametrize("canonical", [True, False], ids=["fast", "slow"])
def test_no_personal_text_is_written(resource: str, canonical: bool, tmp_path: Path) -> None:
    row = MAKERS[resource](**SECRETS)
    if "debtor" in row:
        row["debtor"] = {**row["debtor"], "nickname": "Vibs", "born": "1971-08-19"}
    with PageTransformer("pseudonymous", KEY) as transformer:
        transformed = transformer.transform(resource, [page(resource, [row])], canonical=canonical)

    assert transformed.good == 1
    _assert_silent(_everything(transformed, tmp_path / "window.parquet"))


FAULTS: list[dict[str, Any]] = [
    {"id": "Vibeke Lund"},
    {"grossAmount": "Vibeke Lund"},
    {"dateCreated": "Vibeke Lund"},
    {"dueDate": "70 12 34 56"},
    {"validation": "Vibeke Lund"},
    {"validation": {"needsInfo": "Vibeke Lund"}},
    {"reference": {"by": "Vibeke Lund"}},
    {"debtor": "Vibeke Lund"},
    {"debtor": ["Vibeke Lund"]},
    {"client": "Vibeke Lund"},
    {"client": {"creditorId": "vibeke.Lund@firma.example", "contacts": "Vibeke Lund", "Contacts": "Lund"}},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: json.dumps(fault)[:40])
def test_no_personal_text_is_kept_of_a_bad_row(fault: dict[str, Any], tmp_path: Path) -> None:
    row = case_row(**SECRETS, **fault)
    with PageTransformer("full", KEY) as transformer:
        transformed = transformer.transform("cases", [page("cases", [row, "Vibeke Lund", ["Sigrid Falk"]])])

    assert len(transformed.bad) == 3
    _assert_silent(_everything(transformed, tmp_path / "window.parquet"))


def test_only_privacy_full_writes_the_debtors_name_and_nothing_else(tmp_path: Path) -> None:
    with PageTransformer("full", KEY) as transformer:
        transformed = transformer.transform("cases", [page("cases", [case_row()])])
    content = _everything(transformed, tmp_path / "window.parquet")

    assert transformed.columns["debtor_name"].to_pylist() == ["Åse  Bjørnsdóttir"]
    for text in set(PERSONAL_TEXTS) - {"Åse", "Bjørnsdóttir"}:
        assert text.encode() not in content


def test_shaped_windows_do_not_show_rows_in_their_text() -> None:
    """A traceback or a log line with the object in it must not print what it holds."""
    with PageTransformer("full", KEY) as transformer:
        transformed = transformer.transform("cases", [page("cases", [case_row()])])

    assert "Bjørnsdóttir" not in repr(transformed)


def test_a_closed_shaper_remembers_no_names() -> None:
    with PageTransformer("pseudonymous", KEY) as transformer:
        transformer.transform("cases", [page("cases", [case_row()])])
        assert transformer._pseudonyms._recall.cache_info().currsize == 1
    assert transformer._pseudonyms._recall.cache_info().currsize == 0


def _keys(key: bytes, names: list[str | None]) -> list[str | None]:
    keys: list[str | None] = Pseudonyms(key).of(pa.array(names, pa.string())).to_pylist()
    return keys


@settings(deadline=None)
@given(
    key=st.binary(min_size=1, max_size=100), name=st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=1)
)
def test_pseudonym_is_pythons_hmac_sha256(key: bytes, name: str) -> None:
    assert _keys(key, [name]) == [hmac.digest(key, name.encode(), "sha256").hex()]


def test_spellings_of_one_name_share_a_key_and_blank_names_have_none() -> None:
    names = ["Åse Holm", "A\u030ase  holm ", "\u00a0ÅSE\tHOLM", "Aase Holm", None, "", " \u2003 "]
    first, second, third, other, *blank = _keys(KEY, names)

    assert first == second == third != other
    assert blank == [None, None, None]


def test_an_empty_privacy_key_is_refused() -> None:
    with pytest.raises(ValueError, match="privacy key"):
        PageTransformer("pseudonymous", b"")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("channel", "portal"),
        ("channel", "NotInvoiced"),
        ("channel", "2026-01-05"),
        ("channel", "2026-01-05T02:00:00Z"),
        ("channel", "7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a10"),
        ("channel", "12.50"),
        ("channel", "true"),
        ("channel", "B"),
        ("riskCode", "A-12"),
        ("schemaVersion", "v1.2"),
        ("product_ids", "K7TRW2QD"),
        ("feeCurrency", "EUR"),
        ("countryCode", "DK"),
    ],
)
def test_texts_that_name_nobody_are_kept(field: str, text: str) -> None:
    assert scrub((field,), text) == text
    assert scrub((field,), [text]) == [text]


@pytest.mark.parametrize("field", ["channel", "riskCode", "status"])
@pytest.mark.parametrize(
    "text",
    [
        "Tue Holm",
        "tue.holm",
        "tue",
        "Zeldaone",
        "Zelda-Hidtwo",
        "ZeldaHidfour",
        "ZELDAFIVE",
        "zelda1",
        "a@b.example",
        "www.x.y",
        "x.com",
        "https://x",
        "+4570123456",
        "70123456",
        "70 12 34 56",
        "phone 70 12 34 56",
        "010203-1234",
        "Åse",
        "x" * 41,
        "Handed to Tue",
        "\u202eunpaid",
    ],
)
def test_texts_that_may_name_somebody_are_withheld(field: str, text: str) -> None:
    assert scrub((field,), text) == "[withheld]"
    assert not is_label(text)


def test_short_codes_are_kept_only_where_the_field_says_that_it_holds_one() -> None:
    assert scrub(("consultantRank",), "K7TRW2QD") == scrub(("team",), "ABC") == "[withheld]"


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [
        ("riskScore", True),
        ("risk_score", True),
        ("line2", True),
        ("ZeldaSixField", False),
        ("Zelda Six", False),
        ("zelda.six", False),
        ("zelda@firma.example", False),
        ("c4570123456", False),
        ("a" * 41, False),
        ("", False),
    ],
)
def test_only_names_spelt_as_fields_are_kept(name: str, is_kept: bool) -> None:
    """A map from persons to figures brings their names as the names of fields."""
    expected = name if is_kept else "[withheld]"
    with PageTransformer("pseudonymous", KEY) as transformer:
        for canonical in (True, False):
            transformed = transformer.transform(
                "cases", [page("cases", [case_row(**{name: {name: 1}})])], canonical=canonical
            )
            assert json.loads(transformed.columns["extra"].to_pylist()[0]) == {expected: {expected: 1}}
            assert [drift.field for drift in transformed.drift] == [expected]


def test_in_a_row_of_capitals_new_fields_have_one_too() -> None:
    row = {name[0].upper() + name[1:]: value for name, value in case_row(riskScore=3).items()}
    with PageTransformer("pseudonymous", KEY) as transformer:
        transformed = transformer.transform("cases", [page("cases", [row])], canonical=False)
    assert transformed.columns["extra"].to_pylist() == ['{"riskScore":3}']


def test_where_somebody_lives_is_withheld_as_numbers_too() -> None:
    row = case_row(
        geo={"lat": 55.67, "lng": 12.56}, home={"latitude": 55.67}, gpsPoints=[55.67, 12.56], monthlyIncome=100
    )
    with PageTransformer("pseudonymous", KEY) as transformer:
        transformed = transformer.transform("cases", [page("cases", [row])])
    assert json.loads(transformed.columns["extra"].to_pylist()[0]) == {
        "geo": "[withheld]", "home": {"latitude": "[withheld]"}, "gpsPoints": "[withheld]", "monthlyIncome": "[withheld]"
    }  # fmt: skip


LABEL_FIELDS = [
    ("cases", "lifecycle", "lifecycle", "lifecycle"),
    ("cases", "closeCode", "close_code", "closeCode"),
    ("cases", "currentEngagementPhase", "engagement_phase", "currentEngagementPhase"),
    ("clients", "kycStatus", "kyc_status", "kycStatus"),
    ("transactions", "commissionPaymentStatus", "commission_status", "status.commissionPaymentStatus"),
    ("transactions", "platformInvoicingStatus", "platform_invoicing_status", "status.platformInvoicingStatus"),
    ("transactions", "referralInvoicingStatus", "referral_invoicing_status", "status.referralInvoicingStatus"),
]


@pytest.mark.parametrize("canonical", [True, False], ids=["fast", "slow"])
@pytest.mark.parametrize(("resource", "field", "column", "path"), LABEL_FIELDS)
def test_a_person_in_a_label_is_withheld_and_noted(
    resource: str, field: str, column: str, path: str, canonical: bool, tmp_path: Path
) -> None:
    def shaped_with(text: str, **more: Any) -> TransformedPages:
        change = {"status": {field: text}} if "." in path else {field: text}
        with PageTransformer("full", KEY) as transformer:
            return transformer.transform(
                resource, [page(resource, [MAKERS[resource](**change, **more)])], canonical=canonical
            )

    transformed = shaped_with("Vibeke Lund")
    assert transformed.columns[column].to_pylist() == ["[withheld]"]
    assert transformed.drift == (Drift("value", path, "[withheld]"),)
    assert shaped_with("Escalated To Ombudsman").columns[column].to_pylist() == ["Escalated To Ombudsman"]
    bad = shaped_with("Vibeke Lund", **{"isAttributedClient": 7} if resource == "clients" else {"client": 7})
    for one in (transformed, bad):
        assert b"ibeke" not in _everything(one, tmp_path / "window.parquet")
    assert len(bad.bad) == 1


CONTACTS = [
    "zelda@firma.example", "Invoice zelda@firma.example", "zelda%40firma.example", "+45 70 12 34 56", "4: +4570123456",
    "004570123456", "70 12 34 56", "(045) 70 12 34 56",
]  # fmt: skip


@pytest.mark.parametrize("text", CONTACTS)
def test_a_contact_in_a_business_key_is_stored_as_a_pseudonym(text: str, tmp_path: Path) -> None:
    """Some platforms make the tenant id of the user's e-mail address."""
    row = case_row(creditorReference=text, client={"externalTenantId": text, "creditorId": None, "companyName": "Holm"})
    bad = case_row(id="no", creditorReference=text, client={"externalTenantId": text})
    with PageTransformer("pseudonymous", KEY) as transformer:
        transformed = transformer.transform("cases", [page("cases", [row, bad])])
        fast = transformer.transform("cases", [page("cases", [row])])
    (stored,) = set(
        transformed.columns["external_tenant_id"].to_pylist() + transformed.columns["creditor_reference"].to_pylist()
    )
    assert is_pseudonym(stored)
    assert fast.columns.equals(transformed.columns)
    assert json.loads(transformed.bad[0].payload)["creditorReference"] == stored
    assert text.encode() not in _everything(transformed, tmp_path / "window.parquet")
    with PageTransformer("full", KEY) as transformer:
        assert transformer.transform("cases", [page("cases", [row])]).columns["creditor_reference"].to_pylist() == [
            text
        ]


@pytest.mark.parametrize(
    "text", ["INV-2026-17", "4570123456", "0090001234", "tenant@3", "Invoice 12 of 2026", "20 26", "", "a+b", "Åse 1"]
)
def test_other_business_keys_are_kept_as_they_came(text: str) -> None:
    with PageTransformer("pseudonymous", KEY) as transformer:
        transformed = transformer.transform("cases", [page("cases", [case_row(creditorReference=text)])])
    assert transformed.columns["creditor_reference"].to_pylist() == [text]


@pytest.mark.parametrize("text", ["kontor@nordlys.example", "Holm, +45 70 12 34 56"])
def test_a_contact_in_a_companys_name_is_withheld(text: str) -> None:
    with PageTransformer("full", KEY) as transformer:
        transformed = transformer.transform("cases", [page("cases", [case_row(collectionPartner=text)])])
    assert transformed.columns["collection_partner"].to_pylist() == ["[withheld]"]
    assert transformed.columns["company_name"].to_pylist() == ["Nordlys Handel A/S"]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"grossAmount": "1.234,56"}, "1.234,56"),
        ({"grossAmount": "EUR 12"}, "EUR 12"),
        ({"grossAmount": "Tue Holm"}, "[withheld text]"),
        ({"grossAmount": {"amount": 1}}, "[withheld object]"),
        ({"grossAmount": [1]}, "[withheld list]"),
        ({"grossAmount": True}, True),
        ({"dateCreated": "31/12/2025"}, "31/12/2025"),
        ({"dateCreated": "0001-01-01T00:00:00+02:00"}, "0001-01-01T00:00:00+02:00"),
        ({"dateCreated": 1767578400}, 1767578400),
        ({"dateCreated": "soon, says Tue"}, "[withheld text]"),
        ({"id": "17"}, "17"),
        ({"id": "{0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77}"}, "{0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77}"),
        ({"id": "tue@holm.example"}, "[withheld text]"),
        ({"debtor": "Tue Holm"}, "[withheld text]"),
    ],
)
def test_quarantine_shows_a_wrong_value_that_cannot_be_personal_else_its_type(
    change: dict[str, Any], shown: Any
) -> None:
    with PageTransformer("pseudonymous", KEY) as transformer:
        (bad,) = transformer.transform("cases", [page("cases", [case_row(**change)])]).bad
    assert json.loads(bad.payload)[next(iter(change))] == shown
