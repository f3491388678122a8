"""The metrics of the dbt project as SQL that any tool can run."""
