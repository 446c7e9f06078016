"""From lumbar spine MRI (DICOM) to a submission for RSNA 2024 Lumbar Spine Degenerative Classification."""

import os
import tempfile

__version__ = "0.1.0"

# Libraries that would otherwise look for updates, fonts, weights or missing packages on the network. They read these
# when they are first imported, so the package sets them before any module of its own imports one of them.
os.environ.update(
    YOLO_OFFLINE="true",
    YOLO_AUTOINSTALL="false",
    ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS="1",
    NO_ALBUMENTATIONS_UPDATE="1",
    HF_HUB_OFFLINE="1",
)
os.environ.setdefault("YOLO_VERBOSE", "false")
os.environ.setdefault("YOLO_CONFIG_DIR", os.path.join(tempfile.gettempdir(), f"lumbar-{os.getuid()}"))  # noqa: PTH118
# Ultralytics sets one thread when this is unset, which would halve the speed of everything after its import.
os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
