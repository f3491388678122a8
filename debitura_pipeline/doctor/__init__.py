"""Is everything in order, and if not, how is it mended? The body of `debitura doctor`: a file per area, put together in
`examine.py`. Nothing is changed, and nothing printed."""

from debitura_pipeline.doctor.diagnosis import Diagnosis
from debitura_pipeline.doctor.examine import examine

__all__ = ["Diagnosis", "examine"]
