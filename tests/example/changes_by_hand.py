"""What the reports on time say of the example, worked by hand. See `nights.py` for the rows and `tables.py` for the notation."""

from __future__ import annotations

TABLES: dict[str, str] = {}

# Collected in the twelve months to 1 April, without Disputed and Unclassified: ten fees, 12 + 22 + 15 + 9 + 50 + 25 + 0 + 3 + 1.5
# + 8.8 = 146.3 USD, of which t01's 12 are an estimate; t06 is a claw-back risk. In March: t08 and t09. In April 2025: t06.
# Recognized: all of them on the first load already. Invoiced: t13, seen on 31 March. Paid: t03, seen on 1 April.
TABLES["revenue_summary"] = """
period_order | period | basis_order | basis | from_on | to_on | transaction_count | referral_fee_usd | of_which_estimate_usd | disputed_usd | is_complete
1 | today                | 1 | collected  | 2026-04-01 | 2026-04-01 | 0  | 0     | 0  | 0  | yes
1 | today                | 2 | recognized | 2026-04-01 | 2026-04-01 | 0  | 0     | 0  | 0  | yes
1 | today                | 3 | invoiced   | 2026-04-01 | 2026-04-01 | 0  | 0     | 0  | 0  | yes
1 | today                | 4 | paid       | 2026-04-01 | 2026-04-01 | 1  | 15    | 0  | 0  | yes
2 | yesterday            | 1 | collected  | 2026-03-31 | 2026-03-31 | 0  | 0     | 0  | 0  | yes
2 | yesterday            | 2 | recognized | 2026-03-31 | 2026-03-31 | 0  | 0     | 0  | 0  | yes
2 | yesterday            | 3 | invoiced   | 2026-03-31 | 2026-03-31 | 1  | 8.8   | 0  | 0  | yes
2 | yesterday            | 4 | paid       | 2026-03-31 | 2026-03-31 | 0  | 0     | 0  | 0  | yes
3 | month_to_date        | 1 | collected  | 2026-04-01 | 2026-04-01 | 0  | 0     | 0  | 0  | yes
3 | month_to_date        | 2 | recognized | 2026-04-01 | 2026-04-01 | 0  | 0     | 0  | 0  | yes
3 | month_to_date        | 3 | invoiced   | 2026-04-01 | 2026-04-01 | 0  | 0     | 0  | 0  | yes
3 | month_to_date        | 4 | paid       | 2026-04-01 | 2026-04-01 | 1  | 15    | 0  | 0  | yes
4 | last_month_to_date   | 1 | collected  | 2026-03-01 | 2026-03-01 | 1  | 0     | 0  | 0  | yes
4 | last_month_to_date   | 2 | recognized | 2026-03-01 | 2026-03-01 | 0  | 0     | 0  | 0  | no
4 | last_month_to_date   | 3 | invoiced   | 2026-03-01 | 2026-03-01 | 0  | 0     | 0  | 0  | no
4 | last_month_to_date   | 4 | paid       | 2026-03-01 | 2026-03-01 | 0  | 0     | 0  | 0  | no
5 | last_month           | 1 | collected  | 2026-03-01 | 2026-03-31 | 2  | 25    | 0  | 0  | yes
5 | last_month           | 2 | recognized | 2026-03-01 | 2026-03-31 | 0  | 0     | 0  | 0  | no
5 | last_month           | 3 | invoiced   | 2026-03-01 | 2026-03-31 | 1  | 8.8   | 0  | 0  | no
5 | last_month           | 4 | paid       | 2026-03-01 | 2026-03-31 | 0  | 0     | 0  | 0  | no
6 | same_month_last_year | 1 | collected  | 2025-04-01 | 2025-04-30 | 1  | 50    | 0  | 0  | yes
6 | same_month_last_year | 2 | recognized | 2025-04-01 | 2025-04-30 | 0  | 0     | 0  | 0  | no
6 | same_month_last_year | 3 | invoiced   | 2025-04-01 | 2025-04-30 | 0  | 0     | 0  | 0  | no
6 | same_month_last_year | 4 | paid       | 2025-04-01 | 2025-04-30 | 0  | 0     | 0  | 0  | no
7 | trailing_12_months   | 1 | collected  | 2025-04-02 | 2026-04-01 | 10 | 146.3 | 12 | 30 | yes
7 | trailing_12_months   | 2 | recognized | 2025-04-02 | 2026-04-01 | 0  | 0     | 0  | 0  | no
7 | trailing_12_months   | 3 | invoiced   | 2025-04-02 | 2026-04-01 | 1  | 8.8   | 0  | 0  | no
7 | trailing_12_months   | 4 | paid       | 2025-04-02 | 2026-04-01 | 1  | 15    | 0  | 0  | no
"""

# Opening, on 2 March: Pending t01 11 + t02 22 + t07 5.5 = 38.5; Confirmed t10 3; Awaiting t12 1.5; Ready t04 6 + t09 0 + t13 8.8 = 14.8;
# invoiced t03 15 + t05 30 = 45; Paid t06 50, then final.
# March: t02 moves with 22; t05 with 30; t08 appears with 25; t04 is edited by 9 - 6 = 3; t13 moves with 8.8; t07 goes with 5.5; t01
# drifts by 12 - 11 = 1. April: t02 moves again with 22, t03 with 15, t11 appears with 4.
TABLES["stage_waterfall"] = """
month | revenue_stage | stage_order | is_expected_income | is_current_month | opening_usd | appeared_usd | moved_in_usd | moved_out_usd | edited_usd | fx_usd | of_which_drift_usd | gone_usd | closing_usd | opening_of_which_estimate_usd | closing_of_which_estimate_usd | opening_count | appeared_count | moved_in_count | moved_out_count | gone_count | closing_count
2026-03-01 | Pending                          | 1 | yes | no  | 38.5 | 0  | 0   | 22  | 0 | 1 | 1 | 5.5 | 12   | 38.5 | 12 | 3 | 0 | 0 | 1 | 1 | 1
2026-03-01 | ConfirmedPendingInvoice          | 2 | yes | no  | 3    | 0  | 22  | 0   | 0 | 0 | 0 | 0   | 25   | 0    | 0  | 1 | 0 | 1 | 0 | 0 | 2
2026-03-01 | AwaitingCollectionPartnerPayment | 3 | yes | no  | 1.5  | 25 | 0   | 0   | 0 | 0 | 0 | 0   | 26.5 | 0    | 0  | 1 | 1 | 0 | 0 | 0 | 2
2026-03-01 | ReadyToInvoiceDebitura           | 4 | yes | no  | 14.8 | 0  | 0   | 8.8 | 3 | 0 | 0 | 0   | 9    | 0    | 0  | 3 | 0 | 0 | 1 | 0 | 2
2026-03-01 | AwaitingDebituraPayment          | 5 | yes | no  | 45   | 0  | 8.8 | 30  | 0 | 0 | 0 | 0   | 23.8 | 0    | 0  | 2 | 0 | 1 | 1 | 0 | 2
2026-03-01 | Paid                             | 6 | yes | no  | 50   | 0  | 0   | 0   | 0 | 0 | 0 | 0   | 50   | 0    | 50 | 1 | 0 | 0 | 0 | 0 | 1
2026-03-01 | Disputed                         | 7 | no  | no  | 0    | 0  | 30  | 0   | 0 | 0 | 0 | 0   | 30   | 0    | 0  | 0 | 0 | 1 | 0 | 0 | 1
2026-03-01 | Unclassified                     | 8 | no  | no  | 0    | 0  | 0   | 0   | 0 | 0 | 0 | 0   | 0    | 0    | 0  | 0 | 0 | 0 | 0 | 0 | 0
2026-04-01 | Pending                          | 1 | yes | yes | 12   | 0  | 0   | 0   | 0 | 0 | 0 | 0   | 12   | 12   | 12 | 1 | 0 | 0 | 0 | 0 | 1
2026-04-01 | ConfirmedPendingInvoice          | 2 | yes | yes | 25   | 0  | 0   | 22  | 0 | 0 | 0 | 0   | 3    | 0    | 0  | 2 | 0 | 0 | 1 | 0 | 1
2026-04-01 | AwaitingCollectionPartnerPayment | 3 | yes | yes | 26.5 | 0  | 22  | 0   | 0 | 0 | 0 | 0   | 48.5 | 0    | 0  | 2 | 0 | 1 | 0 | 0 | 3
2026-04-01 | ReadyToInvoiceDebitura           | 4 | yes | yes | 9    | 0  | 0   | 0   | 0 | 0 | 0 | 0   | 9    | 0    | 0  | 2 | 0 | 0 | 0 | 0 | 2
2026-04-01 | AwaitingDebituraPayment          | 5 | yes | yes | 23.8 | 0  | 0   | 15  | 0 | 0 | 0 | 0   | 8.8  | 0    | 0  | 2 | 0 | 0 | 1 | 0 | 1
2026-04-01 | Paid                             | 6 | yes | yes | 50   | 0  | 15  | 0   | 0 | 0 | 0 | 0   | 65   | 50   | 50 | 1 | 0 | 1 | 0 | 0 | 2
2026-04-01 | Disputed                         | 7 | no  | yes | 30   | 0  | 0   | 0   | 0 | 0 | 0 | 0   | 30   | 0    | 0  | 1 | 0 | 0 | 0 | 0 | 1
2026-04-01 | Unclassified                     | 8 | no  | yes | 0    | 4  | 0   | 0   | 0 | 0 | 0 | 0   | 4    | 0    | 0  | 0 | 1 | 0 | 0 | 0 | 1
"""

# What the night of 1 April found against that of 31 March.
TABLES["what_changed"] = """
subject | subject_id | change | field | creditor_id | case_id | from_value | to_value | currency | delta_amount | delta_usd | delta_expected_usd | is_expected_income | not_before | not_after
case        | k1  | edited | remainder     | client-a | k1 | 400.0000                | 300.0000                         | EUR | -100 | - | - | -   | 2026-03-31 02:00 | 2026-04-01 02:00
transaction | t02 | moved  | revenue_stage | client-a | k1 | ConfirmedPendingInvoice | AwaitingCollectionPartnerPayment | EUR | 0    | 0 | 0 | yes | 2026-03-31 02:00 | 2026-04-01 02:00
transaction | t03 | moved  | revenue_stage | client-a | k2 | AwaitingDebituraPayment | Paid                             | DKK | 0    | 0 | 0 | yes | 2026-03-31 02:00 | 2026-04-01 02:00
transaction | t11 | new    | revenue_stage | client-b | k3 | -                       | Unclassified                     | USD | 4    | 4 | 0 | no  | -                | 2026-04-01 02:00
"""
