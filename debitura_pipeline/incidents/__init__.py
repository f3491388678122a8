"""Incidents: what needs attention, reported once when it opens and once when it is over. Imports no Dagster."""
