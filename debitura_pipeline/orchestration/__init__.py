"""Dagster: jobs, schedules, sensors, resources, instance, and dbt as assets. Also what is known of runs without Dagster."""
