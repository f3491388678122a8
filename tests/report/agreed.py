"""Columns of reports that dbt does not build yet."""

AGREED = {
    "stage_waterfall": (
        "month date, revenue_stage varchar, month_label varchar, stage_order int, is_current_month boolean, opening_usd "
        "decimal(28,4), appeared_usd decimal(28,4), moved_in_usd decimal(28,4), moved_out_usd decimal(28,4), edited_usd "
        "decimal(28,4), fx_usd decimal(28,4), gone_usd decimal(28,4), closing_usd decimal(28,4), opening_count bigint, "
        "closing_count bigint"
    ),
    "what_changed": (
        "subject varchar, subject_id varchar, change varchar, creditor_id varchar, external_tenant_id varchar, "
        "company_name varchar, case_id varchar, from_value varchar, to_value varchar, currency varchar, delta_amount "
        "decimal(18,4), delta_usd decimal(18,4), is_expected_income boolean, not_before timestamptz, not_after "
        "timestamptz"
    ),
    "revenue_summary": (
        "period varchar, basis varchar, period_order int, from_on date, to_on date, transaction_count bigint, "
        "referral_fee_usd decimal(28,4), of_which_estimate_usd decimal(28,4), disputed_usd decimal(28,4), is_complete "
        "boolean"
    ),
    "revenue_forecast": (
        "month date, source varchar, revenue_stage varchar, horizon_months int, expected_usd decimal(28,4), median_usd "
        "decimal(28,4), low_usd decimal(28,4), high_usd decimal(28,4), method varchar, is_reliable boolean"
    ),
    "forecast_backtest": (
        "made_on date, month date, horizon_months int, median_usd decimal(28,4), low_usd decimal(28,4), high_usd "
        "decimal(28,4), actual_usd decimal(28,4), error_usd decimal(28,4), is_in_band boolean"
    ),
    "recovery_vintage": (
        "created_month date, months_since int, currency varchar, cases bigint, gross_amount decimal(28,4), "
        "recovered_amount decimal(28,4), recovered_share decimal(18,6), is_complete boolean, projected_share "
        "decimal(18,6), method varchar"
    ),
}
