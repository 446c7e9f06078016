"""The points table's columns: the competition's coordinate schema, with patient millimetres, confidence and source.

Annotated points brought to this form and predicted ones are interchangeable for the stages behind.
"""

KEY = ["study_id", "condition", "level"]
PATIENT = ["patient_x", "patient_y", "patient_z"]
"""Millimetres in patient space."""
COLUMNS = [
    "study_id",
    "series_id",
    "instance_number",
    "condition",
    "level",
    "x",
    "y",
    *PATIENT,
    "confidence",
    "source",
    "fold",
]
"""`x` and `y` are pixels of the slice; `source` is `detected` or `interpolated`; `fold` is that of the detector."""
