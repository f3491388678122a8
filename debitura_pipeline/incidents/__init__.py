"""Incidents: what needs a human, told once when it opens and once when it is over. Imports no Dagster."""
