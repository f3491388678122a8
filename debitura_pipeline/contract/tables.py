"""The three raw tables: columns, types, keys, and the JSON path of each value in a row of the API.

Source: the API's contract, schemas CaseItem, TransactionItem and ClientCreatedResponse. Only `key` columns are certain to be
present, since no response schema lists required fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The kind of value that a column holds."""

    ID = "id"  # lower-case UUID text
    TEXT = "text"
    LABEL = "label"  # a value of an enumeration that may be extended
    BUSINESS_KEY = (
        "business key"  # chosen by the partner: stored, unless it contains an e-mail address or a phone number
    )
    BOOL = "bool"
    COUNT = "count"
    MONEY = "money"  # amounts and percentages
    INSTANT = "instant"
    DEBTOR_NAME = "debtor name"  # may be a person's name: null unless privacy is `full`
    DEBTOR_KEY = "debtor key"  # keyed hash of the name, so that debtors can be counted

    @property
    def sql(self) -> str:
        """SQL type, valid in DuckDB and Postgres."""
        return _SQL_TYPES.get(self, "VARCHAR")


_SQL_TYPES = {
    Kind.BOOL: "BOOLEAN",
    Kind.COUNT: "BIGINT",
    Kind.MONEY: "DECIMAL(18,4)",
    Kind.INSTANT: "TIMESTAMPTZ",
}


TEXTS = frozenset({Kind.TEXT, Kind.LABEL, Kind.BUSINESS_KEY})


@dataclass(frozen=True)
class Column:
    """A column: our name, its kind, and the JSON path of its value in a row."""

    name: str
    kind: Kind
    path: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A raw table. `floating` columns may change with exchange rates alone while the column `estimate_flag` is true. `opened`:
    the one whose first value in a version is kept as well.

    Raises ValueError if a name occurs twice, or `key`, `estimate_flag`, `floating` or `opened` name an unknown column.
    """

    resource: str
    key: str
    columns: tuple[Column, ...]
    estimate_flag: str | None = None
    floating: tuple[str, ...] = ()
    opened: str | None = None

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"raw.{self.resource} names a column twice")
        named = {self.key, *self.floating, self.estimate_flag, self.opened}
        missing = {name for name in named if name is not None and name not in names}
        if missing:
            raise ValueError(f"raw.{self.resource} has no column {', '.join(sorted(missing))}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns."""
        return tuple(column.name for column in self.columns)

    @property
    def hashed(self) -> tuple[str, ...]:
        """Columns whose change makes a new version: all but the debtor's name, which `debtor_key` covers."""
        return tuple(column.name for column in self.columns if column.kind is not Kind.DEBTOR_NAME)


def _columns(*rows: tuple[str, Kind, str]) -> tuple[Column, ...]:
    return tuple(Column(name, kind, tuple(path.split("."))) for name, kind, path in rows)


CLIENTS = Table(
    "clients",
    "creditor_id",
    _columns(
        ("creditor_id", Kind.ID, "client.id"),
        ("external_tenant_id", Kind.BUSINESS_KEY, "externalTenantId"),
        ("company_name", Kind.TEXT, "client.companyName"),
        ("country", Kind.TEXT, "client.country"),
        ("city", Kind.TEXT, "client.city"),
        ("registration_number", Kind.TEXT, "client.companyRegistrationNumber"),
        ("is_attributed", Kind.BOOL, "isAttributedClient"),
        ("onboarding_done", Kind.BOOL, "onboardingDone"),
        ("linked_at", Kind.INSTANT, "dateLinked"),
        ("kyc_status", Kind.LABEL, "kycStatus"),
        ("cases_total", Kind.COUNT, "caseStats.casesTotal"),
        ("cases_closed", Kind.COUNT, "caseStats.casesClosed"),
        ("earnings_usd", Kind.MONEY, "caseStats.earningsUsd"),
    ),
)

CASES = Table(
    "cases",
    "case_id",
    _columns(
        ("case_id", Kind.ID, "id"),
        ("reference", Kind.TEXT, "reference"),
        ("creditor_reference", Kind.BUSINESS_KEY, "creditorReference"),
        ("external_tenant_id", Kind.BUSINESS_KEY, "client.externalTenantId"),
        ("creditor_id", Kind.ID, "client.creditorId"),
        ("company_name", Kind.TEXT, "client.companyName"),
        ("debtor_key", Kind.DEBTOR_KEY, "debtor.name"),
        ("debtor_name", Kind.DEBTOR_NAME, "debtor.name"),
        ("debtor_country", Kind.TEXT, "debtor.country"),
        ("gross_amount", Kind.MONEY, "grossAmount"),
        ("remainder", Kind.MONEY, "remainder"),
        ("currency", Kind.TEXT, "currency"),
        ("lifecycle", Kind.LABEL, "lifecycle"),
        ("close_code", Kind.LABEL, "closeCode"),
        ("engagement_phase", Kind.LABEL, "currentEngagementPhase"),
        ("created_at", Kind.INSTANT, "dateCreated"),
        ("due_at", Kind.INSTANT, "dueDate"),
        ("collection_started_at", Kind.INSTANT, "dateCollectionStarted"),
        ("finished_at", Kind.INSTANT, "dateFinished"),
        ("needs_info", Kind.BOOL, "validation.needsInfo"),
        ("creditor_responded_at", Kind.INSTANT, "validation.creditorRespondedAt"),
        ("collection_partner", Kind.TEXT, "collectionPartner"),
        ("expected_referral_rate_pct", Kind.MONEY, "expectedReferralRatePercentage"),
    ),
)

TRANSACTIONS = Table(
    "transactions",
    "transaction_id",
    _columns(
        ("transaction_id", Kind.ID, "transactionId"),
        ("occurred_at", Kind.INSTANT, "date"),
        ("external_tenant_id", Kind.BUSINESS_KEY, "client.externalTenantId"),
        ("creditor_id", Kind.ID, "client.creditorId"),
        ("company_name", Kind.TEXT, "client.companyName"),
        ("case_id", Kind.ID, "case.invoiceId"),
        ("case_reference", Kind.TEXT, "case.caseReference"),
        ("debtor_key", Kind.DEBTOR_KEY, "case.debtorName"),
        ("debtor_name", Kind.DEBTOR_NAME, "case.debtorName"),
        ("case_amount", Kind.MONEY, "case.originalAmount"),
        ("case_currency", Kind.TEXT, "case.currency"),
        ("payment_amount", Kind.MONEY, "payment.amount"),
        ("payment_currency", Kind.TEXT, "payment.currency"),
        ("paid_at", Kind.INSTANT, "payment.paymentDate"),
        ("earnings_currency", Kind.TEXT, "earnings.currency"),
        ("debitura_revenue", Kind.MONEY, "earnings.debituraRevenue"),
        ("debitura_revenue_usd", Kind.MONEY, "earnings.debituraRevenueUsd"),
        ("referral_fee_pct", Kind.MONEY, "earnings.referralFeePercentage"),
        ("referral_fee", Kind.MONEY, "earnings.referralFeeAmount"),
        ("referral_fee_usd", Kind.MONEY, "earnings.referralFeeAmountUsd"),
        ("is_estimate", Kind.BOOL, "earnings.isEstimate"),
        ("is_recognized", Kind.BOOL, "recognition.isRecognized"),
        ("referral_fee_recognized_usd", Kind.MONEY, "recognition.referralFeeRecognizedUsd"),
        ("commission_status", Kind.LABEL, "status.commissionPaymentStatus"),
        ("platform_invoicing_status", Kind.LABEL, "status.platformInvoicingStatus"),
        ("referral_invoicing_status", Kind.LABEL, "status.referralInvoicingStatus"),
    ),
    estimate_flag="is_estimate",
    floating=("debitura_revenue_usd", "referral_fee_usd", "referral_fee_recognized_usd"),
    opened="referral_fee_usd",
)

TABLES = {table.resource: table for table in (CLIENTS, CASES, TRANSACTIONS)}

# Columns that the pipeline adds to a landed row, after those of the contract.
LANDED_EXTRA = (("extra", "JSON"), ("_row_hash", "VARCHAR"), ("_seq", "BIGINT"))

# Columns that the warehouse adds to a current row after `extra`; `_row_hash` is taken from the landed row.
META = (
    ("_first_seen_at", "TIMESTAMPTZ"),
    ("_changed_at", "TIMESTAMPTZ"),
    ("_verified_at", "TIMESTAMPTZ"),
    ("_deleted_at", "TIMESTAMPTZ"),
    ("_sync_id", "VARCHAR"),
    ("_row_hash", "VARCHAR"),
)
# Of tables with `opened`, after META: the value that this floating column had when the version was first read. Null for rows
# whose values do not float, since theirs are the version's from its first day to its last.
OPENING = (("_opening_fee_usd", "DECIMAL(18,4)"),)
VALIDITY = (("_valid_from", "TIMESTAMPTZ"), ("_valid_to", "TIMESTAMPTZ"))

# Removed before anything is stored, at any depth: people, addresses, links, KYC data, free text about people.
PERSONAL_SUBTREES = (
    ("client", "contacts"),
    ("client", "officeEmail"),
    ("client", "address"),
    ("client", "zipCode"),
    ("users",),
    ("onboardingLinks",),
    ("kycVerification",),
    ("caseResults",),
    ("validation", "items"),
    ("debtor", "name"),
    ("case", "debtorName"),
)
