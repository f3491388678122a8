"""Debitura pipeline: cases and revenue of a referral partner's clients, extracted with proof, in DuckDB or Postgres."""
