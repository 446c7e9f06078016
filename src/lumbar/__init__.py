"""From lumbar spine MRI (DICOM) to a submission for RSNA 2024 Lumbar Spine Degenerative Classification."""

import os
import secrets
import socket
import tempfile
import uuid

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
# Threads that spin while they wait cost a factor of five and more as soon as another process wants a core, too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# On import, urllib3 opens a socket to learn whether there is IPv6, Ultralytics one to learn the machine's hardware
# address for its telemetry, and torch asks the name service who the user is. A run that opens none can be proven to
# speak to nobody. A random address with this bit set is what RFC 4122 provides for machines that have none.
socket.has_ipv6 = False
_no_address = secrets.randbits(48) | 1 << 40
setattr(uuid, "getnode", lambda: _no_address)  # noqa: B010
os.environ.setdefault("LOGNAME", "lumbar")
