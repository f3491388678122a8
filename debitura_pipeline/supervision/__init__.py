"""`debitura dev`: Dagster's programs started, watched and restarted."""
