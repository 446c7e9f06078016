"""What keeps the libraries from the network: `go_offline` is called by the command, the worker and the kernels.

Importing `lumbar` alone changes nothing in the process.
"""

import os
import secrets
import socket
import tempfile
import uuid
from pathlib import Path


def go_offline() -> None:
    """Keeps every library from looking for updates, fonts, weights or packages. To be called before any is imported.

    A run that opens no socket at all can be proven to speak to nobody: hence the last three lines. On import, urllib3
    opens a socket to learn whether there is IPv6, Ultralytics one to learn the machine's hardware address for its
    telemetry, and torch asks the name service who the user is.
    """
    os.environ.update(
        YOLO_OFFLINE="true",
        YOLO_AUTOINSTALL="false",
        ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS="1",
        NO_ALBUMENTATIONS_UPDATE="1",
        HF_HUB_OFFLINE="1",
    )
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / f"lumbar-{os.getuid()}"))
    # Ultralytics sets one thread when this is unset, which would halve the speed of everything after its import.
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("OMP_NUM_THREADS", str(bound or 1))
    # Threads that spin while they wait cost a factor of five and more as soon as another process wants a core, too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    socket.has_ipv6 = False
    # What RFC 4122 provides for machines without a hardware address: a random one with this bit set.
    address = secrets.randbits(48) | 1 << 40
    setattr(uuid, "getnode", lambda: address)  # noqa: B010  # typeshed calls it a constant
    os.environ.setdefault("LOGNAME", "lumbar")
