"""What the saved queries of the semantic layer say of the example, worked by hand. See `nights.py` and `tables.py`."""

from __future__ import annotations

# The sums are those of `money_by_hand.py` and `cases_by_hand.py`. To come: 146.3 - 65.
TABLES = {
    "fee_by_stage": """
transaction_id__revenue_stage | fee_in_stage_usd | transaction_count
Pending                          | 12   | 1
ConfirmedPendingInvoice          | 3    | 1
AwaitingCollectionPartnerPayment | 48.5 | 3
ReadyToInvoiceDebitura           | 9    | 2
AwaitingDebituraPayment          | 8.8  | 1
Paid                             | 65   | 2
Disputed                         | 30   | 1
Unclassified                     | 4    | 1
""",
    "fee_total": """
fee_usd | fee_paid_usd | fee_to_come_usd | fee_of_which_estimate_usd | fee_clawback_risk_usd | fee_disputed_usd
146.3 | 65 | 81.3 | 12 | 50 | 30
""",
    "fee_by_month": """
metric_time__month | fee_usd | fee_paid_usd
2025-04 | 50   | 50
2025-12 | 1.5  | -
2026-01 | 23.8 | 15
2026-02 | 46   | -
2026-03 | 25   | -
""",
    "fee_by_client": """
creditor_id | creditor_id__company_name | fee_usd | fee_paid_usd
client-a | Acme | 71.3 | 15
client-b | Berg | 75   | 50
""",
    "fee_by_collection_partner": """
transaction_id__collection_partner | transaction_id__revenue_stage | fee_in_stage_usd
Nord | AwaitingCollectionPartnerPayment | 22
Nord | AwaitingDebituraPayment          | 8.8
Nord | Pending                          | 12
Nord | ReadyToInvoiceDebitura           | 0
Sol  | AwaitingCollectionPartnerPayment | 1.5
Sol  | ConfirmedPendingInvoice          | 3
Sol  | Paid                             | 15
Sol  | ReadyToInvoiceDebitura           | 9
-    | AwaitingCollectionPartnerPayment | 25
-    | Disputed                         | 30
-    | Paid                             | 50
-    | Unclassified                     | 4
""",
    "recovery_by_currency": """
case_id__currency | recovered_amount | recoverable_amount | recovery_rate_of_gross
DKK | 2000 | 2000 | 1.000000
EUR | 730  | 1300 | 0.561538
USD | 1090 | 2000 | 0.545000
""",
    "cases_by_lifecycle": """
case_id__lifecycle_group | case_count | open_case_count
active | 2 | 2
closed | 2 | -
""",
    "clients_by_attribution": """
creditor_id__attribution | client_count
attributed | 1
linked     | 1
""",
}
