"""`debitura dev`: start Dagster's programs, watch them and restart them."""
