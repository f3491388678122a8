"""The partners of the partners file side by side: who they are, how they stand, whether their settings work."""

from debitura_pipeline.partners.overview import Overview, read_overviews
from debitura_pipeline.partners.standing import OpenIncident, Standing, read_standing

__all__ = ["OpenIncident", "Overview", "Standing", "read_overviews", "read_standing"]
