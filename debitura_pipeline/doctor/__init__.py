"""The checks of `debitura doctor`, one file per area. `examine.py` runs them; nothing is printed here."""

from debitura_pipeline.doctor.diagnosis import Diagnosis
from debitura_pipeline.doctor.examine import examine

__all__ = ["Diagnosis", "examine"]
