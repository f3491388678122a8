"""What the reports on clients, cases and findings say of the example, worked by hand. See `nights.py` and `tables.py`."""

from __future__ import annotations

TABLES: dict[str, str] = {}

# k1: 700 of 1000 recovered; fees t01 12 + t02 22 + t13 8.8 = 42.8. k2: all; 185 days from 1 September to 5 March; fees 15 + 9 + 3 + 1.5
# = 28.5. k3: 1090 of 2000; fees t06 50 + t08 25 = 75. k4: 30 of 300; 106 days from 1 November to 15 February; no fee.
TABLES["case_outcomes"] = """
debtor_country | engagement_phase | outcome | currency | cases | gross_amount | remainder | recovered_amount | recovered_share_of_gross | merged_gross_amount | days_to_close_median | days_to_close_max | cases_earning | fee_total_usd | fee_total_of_which_estimate_usd | clawback_risk_usd
Denmark       | Legal     | recovered | DKK | 1 | 2000 | 0   | 2000 | 1     | 0 | 185 | 185 | 1 | 28.5 | 0  | 0
Germany       | Pre-legal | exhausted | EUR | 1 | 300  | 270 | 30   | 0.1   | 0 | 106 | 106 | 0 | 0    | 0  | 0
Germany       | Pre-legal | open      | EUR | 1 | 1000 | 300 | 700  | 0.7   | 0 | -   | -   | 1 | 42.8 | 12 | 0
United States | none      | open      | USD | 1 | 2000 | 910 | 1090 | 0.545 | 0 | -   | -   | 1 | 75   | 0  | 50
"""

# Two cases are open, two have ended, one of them with money. In euros 30 of 300 of the ended, and 730 of 1300 with the open one.
TABLES["recovery_rates"] = """
debtor_country | currency | cases | cases_open | cases_merged | cases_never_started | cases_ended | cases_recovered | recovered_share_of_cases_ended | recovered_share_of_cases_ended_or_never_started | gross_of_ended | recovered_of_ended | recovered_share_of_gross_of_ended | gross_of_ended_and_open | recovered_of_ended_and_open | recovered_share_of_gross_of_ended_and_open
all           | all | 4 | 2 | 0 | 0 | 2 | 1 | 0.5 | 0.5 | -    | -    | -   | -    | -    | -
Denmark       | all | 1 | 0 | 0 | 0 | 1 | 1 | 1   | 1   | -    | -    | -   | -    | -    | -
Germany       | all | 2 | 1 | 0 | 0 | 1 | 0 | 0   | 0   | -    | -    | -   | -    | -    | -
United States | all | 1 | 1 | 0 | 0 | 0 | 0 | -   | -   | -    | -    | -   | -    | -    | -
all           | DKK | 1 | 0 | 0 | 0 | 1 | 1 | 1   | 1   | 2000 | 2000 | 1   | 2000 | 2000 | 1
all           | EUR | 2 | 1 | 0 | 0 | 1 | 0 | 0   | 0   | 300  | 30   | 0.1 | 1300 | 730  | 0.561538
all           | USD | 1 | 1 | 0 | 0 | 0 | 0 | -   | -   | 0    | 0    | -   | 2000 | 1090 | 0.545
Denmark       | DKK | 1 | 0 | 0 | 0 | 1 | 1 | 1   | 1   | 2000 | 2000 | 1   | 2000 | 2000 | 1
Germany       | EUR | 2 | 1 | 0 | 0 | 1 | 0 | 0   | 0   | 300  | 30   | 0.1 | 1300 | 730  | 0.561538
United States | USD | 1 | 1 | 0 | 0 | 0 | 0 | -   | -   | 0    | 0    | -   | 2000 | 1090 | 0.545
"""

# Acme: 12 + 3 + (22 + 1.5) + 9 + 8.8 + 15 = 71.3; half of the revenue of 142.6; 71.3 / 146.3 = 0.487355 of all fees. The API's 32.80
# are its recognized fees: t03 15 + t04 9 + t13 8.8. Berg: 25 + 50 = 75, half of 150; 75 / 146.3 = 0.512645; the API's 80: t05 30 + t06 50.
TABLES["attribution_by_client"] = """
creditor_id | client_record | attribution | linked_at | rate_min_pct | rate_weighted_pct | rate_max_pct | cases_total | cases_open | cases_closed | cases_earning | transactions_total | fee_pending_usd | fee_confirmed_pending_invoice_usd | fee_awaiting_collection_partner_payment_usd | fee_ready_to_invoice_debitura_usd | fee_awaiting_debitura_payment_usd | fee_paid_usd | fee_total_usd | fee_total_of_which_estimate_usd | clawback_risk_usd | fee_disputed_usd | fee_unclassified_usd | first_fee_at | last_fee_at | share_of_fees | api_earnings_usd | earnings_difference_usd | earnings_verdict | api_cases_total | cases_difference
client-a | live | attributed | 2025-01-01 00:00 | 50 | 50 | 50 | 3 | 1 | 2 | 2 | 8 | 12 | 3 | 23.5 | 9 | 8.8 | 15 | 71.3 | 12 | 0  | 0  | 0 | 2025-12-01 00:00 | 2026-02-28 00:00 | 0.487355 | 32.8 | 0 | equal | 3 | 0
client-b | live | linked     | 2025-01-15 00:00 | 50 | 50 | 50 | 1 | 1 | 0 | 1 | 4 | 0  | 0 | 25   | 0 | 0   | 50 | 75   | 0  | 50 | 30 | 4 | 2025-04-20 00:00 | 2026-03-31 00:00 | 0.512645 | 80   | 0 | equal | 1 | -
"""

# k1: recovered 700, paid 580, so 120 EUR are missing. A euro of k1, t01's rate among them: (24 + 44 + 17.6) / (20 + 40 + 16) = 1.12631579
# USD; its fees are (10 + 20 + 8) / 580 = 0.065517 of the payments. 120 * 1.12631579 = 135.157895; * 0.065517 = 8.8551.
# k2 has a payment in another currency and k3 is not attributed, so neither is compared. t10 was due on 8 March, 24 days ago; t12 has
# stood since before the first load, and was collected 121 days ago.
TABLES["attribution_gaps"] = """
priority | finding | usd_at_stake | paid_usd | since | age_days | creditor_id | case_id | revenue_stage | row_count | rests_on
1 | recovered_more_than_paid | 8.8551 | 0 | 2026-04-01 02:00 | 0  | client-a | k1 | -                                | 1 | k1
2 | stage_overdue            | 3      | 0 | 2026-03-08 00:00 | 24 | -        | -  | ConfirmedPendingInvoice          | 1 | t10
3 | stage_may_be_overdue     | 1.5    | 0 | 2026-03-02 02:00 | 30 | -        | -  | AwaitingCollectionPartnerPayment | 1 | t12
"""

# Signed on the first night, 30 days ago; no sync has loaded a history for them.
TABLES["onboarding_funnel"] = """
client_key | stage | stage_since | days_in_stage | is_stuck | registered_at | signed_at | access_at | history_loaded_at | first_case_at | first_payment_at | claims_submitted | claims_waiting
client-a | signed | 2026-03-02 02:00 | 30 | yes | 2025-01-01 00:00 | 2026-03-02 02:00 | - | - | 2025-09-01 00:00 | 2025-12-01 00:00 | 0 | 0
client-b | signed | 2026-03-02 02:00 | 30 | yes | 2025-01-15 00:00 | 2026-03-02 02:00 | - | - | 2025-02-01 00:00 | 2025-04-20 00:00 | 0 | 0
"""

# The API said 12.10 USD of Pending a moment later; its other stages were not asked.
TABLES["payout_reconciliation"] = """
scope | creditor_id | resource | stage | api_count | warehouse_count | count_difference | api_usd | warehouse_usd | usd_difference | verdict | checked_at
all    | -        | transactions | rows                             | 12 | 12 | 0 | -    | -     | -    | equal    | 2026-04-01 02:00
all    | -        | transactions | debitura_revenue                 | -  | -  | - | -    | 360.6 | -    | unproven | -
all    | -        | transactions | Pending                          | 1  | 1  | 0 | 12.1 | 12    | -0.1 | unproven | 2026-04-01 02:00
all    | -        | transactions | ConfirmedPendingInvoice          | -  | 1  | - | -    | 3     | -    | unproven | -
all    | -        | transactions | AwaitingCollectionPartnerPayment | -  | 3  | - | -    | 48.5  | -    | unproven | -
all    | -        | transactions | ReadyToInvoiceDebitura           | -  | 2  | - | -    | 9     | -    | unproven | -
all    | -        | transactions | AwaitingDebituraPayment          | -  | 1  | - | -    | 8.8   | -    | unproven | -
all    | -        | transactions | Paid                             | 2  | 2  | 0 | 65   | 65    | 0    | equal    | 2026-04-01 02:00
all    | -        | transactions | Disputed                         | -  | 1  | - | -    | 30    | -    | unproven | -
all    | -        | transactions | Unclassified                     | -  | 1  | - | -    | 4     | -    | unproven | -
all    | -        | cases        | rows                             | 4  | 4  | 0 | -    | -     | -    | equal    | 2026-04-01 02:00
all    | -        | cases        | total                            | -  | 4  | - | -    | -     | -    | unproven | -
all    | -        | cases        | active                           | -  | 2  | - | -    | -     | -    | unproven | -
all    | -        | cases        | paused                           | -  | 0  | - | -    | -     | -    | unproven | -
all    | -        | cases        | closed                           | 2  | 2  | 0 | -    | -     | -    | equal    | 2026-04-01 02:00
all    | -        | cases        | pending                          | -  | 0  | - | -    | -     | -    | unproven | -
all    | -        | clients      | rows                             | 2  | 2  | 0 | -    | -     | -    | equal    | 2026-04-01 02:00
all    | -        | clients      | total                            | -  | 2  | - | -    | -     | -    | unproven | -
all    | -        | clients      | attributed                       | -  | 1  | - | -    | -     | -    | unproven | -
all    | -        | clients      | onboarding_complete              | -  | 2  | - | -    | -     | -    | unproven | -
all    | -        | clients      | onboarding_pending               | -  | 0  | - | -    | -     | -    | unproven | -
client | client-a | clients      | cases_total                      | 3  | 3  | 0 | -    | -     | -    | equal    | 2026-04-01 02:00
client | client-a | clients      | cases_closed                     | -  | 2  | - | -    | -     | -    | unproven | -
client | client-a | clients      | earnings_usd                     | -  | -  | - | 32.8 | 32.8  | 0    | equal    | 2026-04-01 02:00
client | client-b | clients      | cases_total                      | -  | 1  | - | -    | -     | -    | unproven | -
client | client-b | clients      | cases_closed                     | -  | 0  | - | -    | -     | -    | unproven | -
client | client-b | clients      | earnings_usd                     | -  | -  | - | 80   | 80    | 0    | equal    | 2026-04-01 02:00
"""

# t11 fits no stage, t04 was final when it was edited by 3 USD, t07 was a mere estimate when it went, and three findings are open.
TABLES["data_quality"] = """
check_name | verdict | figure | usd | since
attribution_gaps               | warn | 3 | - | 2026-03-02 02:00
control_totals_cases           | ok   | 0 | - | -
control_totals_clients         | ok   | 0 | - | -
control_totals_missing         | ok   | 0 | - | -
control_totals_transactions    | ok   | 0 | - | -
deleted_cases                  | ok   | 0 | - | -
deleted_clients                | ok   | 0 | - | -
deleted_transactions           | ok   | 1 | 0 | 2026-03-31 02:00
duplicate_keys                 | ok   | 0 | - | -
estimate_flag_differs          | ok   | 0 | - | -
fee_not_as_rate                | ok   | 0 | - | -
final_fee_changed              | warn | 1 | 3 | 2026-03-31 02:00
freshness_cases                | ok   | 0 | - | 2026-04-01 02:00
freshness_clients              | ok   | 0 | - | 2026-04-01 02:00
freshness_transactions         | ok   | 0 | - | 2026-04-01 02:00
history_mismatch               | ok   | 0 | - | -
implausible_dates              | ok   | 0 | - | -
quarantine_open                | ok   | 0 | - | -
schema_drift                   | ok   | 0 | - | -
simulated_data                 | ok   | 0 | - | -
syncs_failed                   | ok   | 0 | - | -
syncs_unproven                 | ok   | 0 | - | -
tenants_reused                 | ok   | 0 | - | -
transactions_of_unknown_case   | ok   | 0 | 0 | -
transactions_of_unknown_client | ok   | 0 | 0 | -
transactions_without_usd       | ok   | 0 | - | -
unclassified_stages            | warn | 1 | 4 | 2026-04-01 02:00
unknown_close_codes            | ok   | 0 | - | -
unknown_invoicing_mode         | ok   | 0 | - | -
unknown_lifecycles             | ok   | 0 | - | -
usd_recognized_differs         | ok   | 0 | - | -
"""

# k3: t06 500 two months after February 2025, t05 300 after twelve, t08 250 and t11 40 after thirteen. k2: t12 100 after three, t03 1000,
# t04 600, and what has no krone transaction, 2000 - 1700, from the month of its end. k1: t13 80 after three, t01 and t02 500, and the 120
# without transaction from this month on. k4: t09 30 after four. The month of April is not over: five months after November the chain
# ladder has k1's 580 / 580 to go by, six months after nothing.
TABLES["recovery_vintage"] = """
created_month | months_since | currency | cases | gross_amount | recovered_amount | recovered_share | is_complete | projected_share
2025-02-01 | 0  | USD | 1 | 2000 | 0    | 0     | yes | 0
2025-02-01 | 1  | USD | 1 | 2000 | 0    | 0     | yes | 0
2025-02-01 | 2  | USD | 1 | 2000 | 500  | 0.25  | yes | 0.25
2025-02-01 | 3  | USD | 1 | 2000 | 500  | 0.25  | yes | 0.25
2025-02-01 | 4  | USD | 1 | 2000 | 500  | 0.25  | yes | 0.25
2025-02-01 | 5  | USD | 1 | 2000 | 500  | 0.25  | yes | 0.25
2025-02-01 | 6  | USD | 1 | 2000 | 500  | 0.25  | yes | 0.25
2025-02-01 | 7  | USD | 1 | 2000 | 500  | 0.25  | yes | 0.25
2025-02-01 | 8  | USD | 1 | 2000 | 500  | 0.25  | yes | 0.25
2025-02-01 | 9  | USD | 1 | 2000 | 500  | 0.25  | yes | 0.25
2025-02-01 | 10 | USD | 1 | 2000 | 500  | 0.25  | yes | 0.25
2025-02-01 | 11 | USD | 1 | 2000 | 500  | 0.25  | yes | 0.25
2025-02-01 | 12 | USD | 1 | 2000 | 800  | 0.4   | yes | 0.4
2025-02-01 | 13 | USD | 1 | 2000 | 1090 | 0.545 | yes | 0.545
2025-02-01 | 14 | USD | 1 | 2000 | 1090 | 0.545 | no  | -
2025-09-01 | 0  | DKK | 1 | 2000 | 0    | 0     | yes | 0
2025-09-01 | 1  | DKK | 1 | 2000 | 0    | 0     | yes | 0
2025-09-01 | 2  | DKK | 1 | 2000 | 0    | 0     | yes | 0
2025-09-01 | 3  | DKK | 1 | 2000 | 100  | 0.05  | yes | 0.05
2025-09-01 | 4  | DKK | 1 | 2000 | 1100 | 0.55  | yes | 0.55
2025-09-01 | 5  | DKK | 1 | 2000 | 1700 | 0.85  | yes | 0.85
2025-09-01 | 6  | DKK | 1 | 2000 | 2000 | 1     | yes | 1
2025-09-01 | 7  | DKK | 1 | 2000 | 2000 | 1     | no  | -
2025-10-01 | 0  | EUR | 1 | 1000 | 0    | 0     | yes | 0
2025-10-01 | 1  | EUR | 1 | 1000 | 0    | 0     | yes | 0
2025-10-01 | 2  | EUR | 1 | 1000 | 0    | 0     | yes | 0
2025-10-01 | 3  | EUR | 1 | 1000 | 80   | 0.08  | yes | 0.08
2025-10-01 | 4  | EUR | 1 | 1000 | 580  | 0.58  | yes | 0.58
2025-10-01 | 5  | EUR | 1 | 1000 | 580  | 0.58  | yes | 0.58
2025-10-01 | 6  | EUR | 1 | 1000 | 700  | 0.7   | no  | -
2025-11-01 | 0  | EUR | 1 | 300  | 0    | 0     | yes | 0
2025-11-01 | 1  | EUR | 1 | 300  | 0    | 0     | yes | 0
2025-11-01 | 2  | EUR | 1 | 300  | 0    | 0     | yes | 0
2025-11-01 | 3  | EUR | 1 | 300  | 0    | 0     | yes | 0
2025-11-01 | 4  | EUR | 1 | 300  | 30   | 0.1   | yes | 0.1
2025-11-01 | 5  | EUR | 1 | 300  | 30   | 0.1   | no  | 0.1
2025-11-01 | 6  | EUR | 1 | 300  | -    | -     | no  | -
"""

# A month has to be over before a forecast can be compared with it, and history begins in March.
TABLES["forecast_backtest"] = """
made_on | month | horizon_months | expected_usd | median_usd | low_usd | high_usd | actual_usd | error_usd | is_in_band | outside_usd | is_reliable
"""
