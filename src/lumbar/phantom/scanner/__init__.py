"""How a patient is imaged: series as they are planned, contrasts, and DICOM files."""
