"""The checks of `debitura doctor`, and a cure for each fault: one file per area, run by `examine.py`. Nothing is printed."""

from debitura_pipeline.doctor.diagnosis import Diagnosis
from debitura_pipeline.doctor.examine import examine

__all__ = ["Diagnosis", "examine"]
