"""Load the cases and revenue of a Debitura referral partner's clients into DuckDB or Postgres, and prove completeness."""
