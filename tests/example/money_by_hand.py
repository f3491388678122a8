"""What the reports on fees say of the example, worked by hand. See `nights.py` for the rows and `tables.py` for the notation.

Fees on 1 April, in USD: t01 10 EUR = 12, t02 20 * 1.1 = 22, t03 100 * 0.15 = 15, t04 60 * 0.15 = 9, t05 30, t06 50, t08 25, t09 0,
t10 20 * 0.15 = 3, t11 4, t12 10 * 0.15 = 1.5, t13 8 * 1.1 = 8.8; t07 is gone.
"""

from __future__ import annotations

TABLES: dict[str, str] = {}

# Nord has k1, Sol has k2, k3 names no partner. Days in a stage: from 2 March 30, from 9 March 23, from 31 March 1.
# t10 stands in its stage since the first load, was to be invoiced on 8 March, and is paid 30 days after today at the earliest. t12: 2 March + 30 days, but its term began
# before. t08: 9 March + 30. t13: 20 business days after Tuesday 31 March. t02: 1 April + 30.
TABLES["payment_calendar"] = """
due_class  | due_class_order | due_on     | due_month  | payment_due_on | payer   | payer_kind         | revenue_stage                    | stage_order | currency | is_final | is_expected_income | transaction_count | referral_fee | referral_fee_usd | of_which_estimate_usd | clawback_risk_usd | days_in_stage_max
overdue    | 1 | 2026-03-08 | 2026-03-01 | 2026-05-01 | Sol      | collection_partner | ConfirmedPendingInvoice          | 2 | DKK | yes | yes | 1 | 20 | 3   | 0  | 0 | 30
due        | 2 | 2026-04-08 | 2026-04-01 | 2026-04-08 | unknown  | collection_partner | AwaitingCollectionPartnerPayment | 3 | USD | yes | yes | 1 | 25 | 25  | 0  | 0 | 23
due        | 2 | 2026-04-28 | 2026-04-01 | 2026-04-28 | Debitura | debitura           | AwaitingDebituraPayment          | 5 | EUR | yes | yes | 1 | 8  | 8.8 | 0  | 0 | 1
due        | 2 | 2026-05-01 | 2026-05-01 | 2026-05-01 | Nord     | collection_partner | AwaitingCollectionPartnerPayment | 3 | EUR | yes | yes | 1 | 20 | 22  | 0  | 0 | 0
not_before | 3 | 2026-04-01 | 2026-04-01 | 2026-04-01 | Sol      | collection_partner | AwaitingCollectionPartnerPayment | 3 | DKK | yes | yes | 1 | 10 | 1.5 | 0  | 0 | 30
unknown    | 4 | -          | -          | -          | Nord     | collection_partner | Pending                          | 1 | EUR | no  | yes | 1 | 10 | 12  | 12 | 0 | 30
unknown    | 4 | -          | -          | -          | Debitura | debitura           | ReadyToInvoiceDebitura           | 4 | DKK | yes | yes | 1 | 60 | 9   | 0  | 0 | 30
unknown    | 4 | -          | -          | -          | Debitura | debitura           | ReadyToInvoiceDebitura           | 4 | EUR | yes | yes | 1 | 0  | 0   | 0  | 0 | 30
unknown    | 4 | -          | -          | -          | Debitura | debitura           | Disputed                         | 7 | USD | no  | no  | 1 | 30 | 30  | 0  | 0 | 23
unknown    | 4 | -          | -          | -          | unknown  | unknown            | Unclassified                     | 8 | USD | no  | no  | 1 | 4  | 4   | 0  | 0 | 0
"""

# Debitura is late with Sol's invoice, which is not Sol's delay.
TABLES["receivables_by_collection_partner"] = """
collection_partner | revenue_stage | stage_order | currency | is_expected_income | transaction_count | case_count | client_count | referral_fee | referral_fee_usd | of_which_estimate_usd | oldest_days_in_stage | next_due_on | overdue_count | overdue_usd | payment_due_on | payment_overdue_count | payment_overdue_usd
Nord    | AwaitingCollectionPartnerPayment | 3 | EUR | yes | 1 | 1 | 1 | 20 | 22  | 0 | 0  | 2026-05-01 | 0 | 0 | 2026-05-01 | 0 | 0
Sol     | AwaitingCollectionPartnerPayment | 3 | DKK | yes | 1 | 1 | 1 | 10 | 1.5 | 0 | 30 | 2026-04-01 | 0 | 0 | - | 0 | 0
Sol     | ConfirmedPendingInvoice          | 2 | DKK | yes | 1 | 1 | 1 | 20 | 3   | 0 | 30 | 2026-03-08 | 1 | 3 | - | 0 | 0
unknown | AwaitingCollectionPartnerPayment | 3 | USD | yes | 1 | 1 | 1 | 25 | 25  | 0 | 23 | 2026-04-08 | 0 | 0 | 2026-04-08 | 0 | 0
"""

# Two invoices: 60 DKK, and one of 0 EUR for the share of nothing.
TABLES["invoice_draft"] = """
currency | line_number | creditor_id | transaction_id | case_id | occurred_at | collected_on | referral_fee_pct | fee_pct | referral_fee | referral_fee_usd | client_total_fee | currency_total_fee | may_be_clawed_back
DKK | 1 | client-a | t04 | k2 | 2026-02-01 00:00 | 2026-02-01 | 50 | 50 | 60 | 9 | 60 | 60 | no
EUR | 1 | client-a | t09 | k4 | 2026-03-01 00:00 | 2026-03-01 | 0  | 0  | 0  | 0 | 0  | 0  | no
"""

# Days from the payment to 1 April: t01 50, t02 40, t04 59, t05 55, t08 24, t09 31, t10 32, t11 1, t12 121, t13 81.
TABLES["revenue_pipeline"] = """
revenue_stage | stage_order | age_bucket | currency | transaction_count | referral_fee | referral_fee_usd | of_which_estimate_usd | clawback_risk_usd | is_expected_income | oldest_age_days | days_in_stage_max | next_due_on | not_before_on | overdue_count | overdue_usd | due_count | due_usd | not_before_count | not_before_usd | unknown_count | unknown_usd
Pending                          | 1 | 031-060 | EUR | 1 | 10 | 12  | 12 | 0 | yes | 50  | 30 | -          | -          | 0 | 0 | 0 | 0   | 0 | 0   | 1 | 12
ConfirmedPendingInvoice          | 2 | 031-060 | DKK | 1 | 20 | 3   | 0  | 0 | yes | 32  | 30 | 2026-03-08 | -          | 1 | 3 | 0 | 0   | 0 | 0   | 0 | 0
AwaitingCollectionPartnerPayment | 3 | 000-030 | USD | 1 | 25 | 25  | 0  | 0 | yes | 24  | 23 | 2026-04-08 | -          | 0 | 0 | 1 | 25  | 0 | 0   | 0 | 0
AwaitingCollectionPartnerPayment | 3 | 031-060 | EUR | 1 | 20 | 22  | 0  | 0 | yes | 40  | 0  | 2026-05-01 | -          | 0 | 0 | 1 | 22  | 0 | 0   | 0 | 0
AwaitingCollectionPartnerPayment | 3 | 091-180 | DKK | 1 | 10 | 1.5 | 0  | 0 | yes | 121 | 30 | -          | 2026-04-01 | 0 | 0 | 0 | 0   | 1 | 1.5 | 0 | 0
ReadyToInvoiceDebitura           | 4 | 031-060 | DKK | 1 | 60 | 9   | 0  | 0 | yes | 59  | 30 | -          | -          | 0 | 0 | 0 | 0   | 0 | 0   | 1 | 9
ReadyToInvoiceDebitura           | 4 | 031-060 | EUR | 1 | 0  | 0   | 0  | 0 | yes | 31  | 30 | -          | -          | 0 | 0 | 0 | 0   | 0 | 0   | 1 | 0
AwaitingDebituraPayment          | 5 | 061-090 | EUR | 1 | 8  | 8.8 | 0  | 0 | yes | 81  | 1  | 2026-04-28 | -          | 0 | 0 | 1 | 8.8 | 0 | 0   | 0 | 0
Disputed                         | 7 | 031-060 | USD | 1 | 30 | 30  | 0  | 0 | no  | 55  | 23 | -          | -          | 0 | 0 | 0 | 0   | 0 | 0   | 1 | 30
Unclassified                     | 8 | 000-030 | USD | 1 | 4  | 4   | 0  | 0 | no  | 1   | 0  | -          | -          | 0 | 0 | 0 | 0   | 0 | 0   | 1 | 4
"""

# t06 is paid and credited since: its 50 USD may be clawed back, and are no estimate.
TABLES["revenue_by_client"] = """
creditor_id | month | revenue_stage | currency | is_expected_income | transaction_count | referral_fee | referral_fee_usd | of_which_estimate_usd | clawback_risk_usd
client-a | 2025-12-01 | AwaitingCollectionPartnerPayment | DKK | yes | 1 | 10  | 1.5 | 0  | 0
client-a | 2026-01-01 | AwaitingDebituraPayment          | EUR | yes | 1 | 8   | 8.8 | 0  | 0
client-a | 2026-01-01 | Paid                             | DKK | yes | 1 | 100 | 15  | 0  | 0
client-a | 2026-02-01 | AwaitingCollectionPartnerPayment | EUR | yes | 1 | 20  | 22  | 0  | 0
client-a | 2026-02-01 | ConfirmedPendingInvoice          | DKK | yes | 1 | 20  | 3   | 0  | 0
client-a | 2026-02-01 | Pending                          | EUR | yes | 1 | 10  | 12  | 12 | 0
client-a | 2026-02-01 | ReadyToInvoiceDebitura           | DKK | yes | 1 | 60  | 9   | 0  | 0
client-a | 2026-03-01 | ReadyToInvoiceDebitura           | EUR | yes | 1 | 0   | 0   | 0  | 0
client-b | 2025-04-01 | Paid                             | USD | yes | 1 | 50  | 50  | 0  | 50
client-b | 2026-02-01 | Disputed                         | USD | no  | 1 | 30  | 30  | 0  | 0
client-b | 2026-03-01 | AwaitingCollectionPartnerPayment | USD | yes | 1 | 25  | 25  | 0  | 0
client-b | 2026-03-01 | Unclassified                     | USD | no  | 1 | 4   | 4   | 0  | 0
"""

# Collected in February: t01 + t02 in euros, 12 + 22 = 34 USD; t04 + t10 in kroner, 60 + 20 = 80, 9 + 3 = 12 USD.
# Recognized on the first load already, so in an unknown month: t03, t04 (as edited: 100 + 60 = 160 DKK, 15 + 9 = 24 USD), t05,
# t06, t09, t13. Invoiced: t03, t05, t06 in an unknown month, t13 seen on 31 March. Paid: t06 unknown, t03 seen on 1 April.
TABLES["revenue_by_month"] = """
basis | month | currency | transaction_count | referral_fee | referral_fee_usd | of_which_estimate_usd | collected_count | collected_fee_usd | recognized_count | recognized_fee_usd | invoiced_count | invoiced_fee_usd | paid_count | paid_fee_usd | clawback_risk_usd | disputed_count | disputed_fee | disputed_fee_usd | unclassified_count | unclassified_fee | unclassified_fee_usd
collected  | 2025-04-01 | USD | 1 | 50  | 50  | 0  | 1 | 50  | 0 | 0   | 0 | 0   | 0 | 0  | 50 | 0 | 0  | 0  | 0 | 0 | 0
collected  | 2025-12-01 | DKK | 1 | 10  | 1.5 | 0  | 1 | 1.5 | 0 | 0   | 0 | 0   | 0 | 0  | 0  | 0 | 0  | 0  | 0 | 0 | 0
collected  | 2026-01-01 | DKK | 1 | 100 | 15  | 0  | 1 | 15  | 0 | 0   | 0 | 0   | 0 | 0  | 0  | 0 | 0  | 0  | 0 | 0 | 0
collected  | 2026-01-01 | EUR | 1 | 8   | 8.8 | 0  | 1 | 8.8 | 0 | 0   | 0 | 0   | 0 | 0  | 0  | 0 | 0  | 0  | 0 | 0 | 0
collected  | 2026-02-01 | DKK | 2 | 80  | 12  | 0  | 2 | 12  | 0 | 0   | 0 | 0   | 0 | 0  | 0  | 0 | 0  | 0  | 0 | 0 | 0
collected  | 2026-02-01 | EUR | 2 | 30  | 34  | 12 | 2 | 34  | 0 | 0   | 0 | 0   | 0 | 0  | 0  | 0 | 0  | 0  | 0 | 0 | 0
collected  | 2026-02-01 | USD | 0 | 0   | 0   | 0  | 0 | 0   | 0 | 0   | 0 | 0   | 0 | 0  | 0  | 1 | 30 | 30 | 0 | 0 | 0
collected  | 2026-03-01 | EUR | 1 | 0   | 0   | 0  | 1 | 0   | 0 | 0   | 0 | 0   | 0 | 0  | 0  | 0 | 0  | 0  | 0 | 0 | 0
collected  | 2026-03-01 | USD | 1 | 25  | 25  | 0  | 1 | 25  | 0 | 0   | 0 | 0   | 0 | 0  | 0  | 0 | 0  | 0  | 1 | 4 | 4
recognized | -          | DKK | 2 | 160 | 24  | 0  | 0 | 0   | 2 | 24  | 0 | 0   | 0 | 0  | 0  | 0 | 0  | 0  | 0 | 0 | 0
recognized | -          | EUR | 2 | 8   | 8.8 | 0  | 0 | 0   | 2 | 8.8 | 0 | 0   | 0 | 0  | 0  | 0 | 0  | 0  | 0 | 0 | 0
recognized | -          | USD | 1 | 50  | 50  | 0  | 0 | 0   | 1 | 50  | 0 | 0   | 0 | 0  | 50 | 1 | 30 | 30 | 0 | 0 | 0
invoiced   | -          | DKK | 1 | 100 | 15  | 0  | 0 | 0   | 0 | 0   | 1 | 15  | 0 | 0  | 0  | 0 | 0  | 0  | 0 | 0 | 0
invoiced   | -          | USD | 1 | 50  | 50  | 0  | 0 | 0   | 0 | 0   | 1 | 50  | 0 | 0  | 50 | 1 | 30 | 30 | 0 | 0 | 0
invoiced   | 2026-03-01 | EUR | 1 | 8   | 8.8 | 0  | 0 | 0   | 0 | 0   | 1 | 8.8 | 0 | 0  | 0  | 0 | 0  | 0  | 0 | 0 | 0
paid       | -          | USD | 1 | 50  | 50  | 0  | 0 | 0   | 0 | 0   | 0 | 0   | 1 | 50 | 50 | 0 | 0  | 0  | 0 | 0 | 0
paid       | 2026-04-01 | DKK | 1 | 100 | 15  | 0  | 0 | 0   | 0 | 0   | 0 | 0   | 1 | 15 | 0  | 0 | 0  | 0  | 0 | 0 | 0
"""
