"""From tissue to image: the brightness of tissues in each kind of sequence, and what a scanner does to it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lumbar.phantom.anatomy.painting import Signals

Floats = NDArray[np.float32]

TISSUES = {
    #               T1    T2    STIR
    "air": (0.00, 0.00, 0.00),
    "skin": (0.45, 0.40, 0.30),
    "fat": (1.00, 0.86, 0.10),
    "muscle": (0.33, 0.17, 0.24),
    "bowel": (0.36, 0.38, 0.40),
    "vessel": (0.08, 0.05, 0.08),
    "slow_blood": (0.22, 0.22, 0.25),
    "kidney": (0.38, 0.55, 0.60),
    "marrow": (0.56, 0.46, 0.15),
    "fatty_marrow": (0.85, 0.66, 0.12),
    "cortex": (0.12, 0.08, 0.07),
    "interspinous": (0.66, 0.50, 0.16),
    "annulus": (0.30, 0.10, 0.10),
    "nucleus": (0.37, 0.66, 0.60),
    "ligament": (0.13, 0.08, 0.09),
    "csf": (0.15, 1.00, 1.00),
    "nerve": (0.34, 0.36, 0.42),
    "cord": (0.40, 0.42, 0.45),
    "vein": (0.30, 0.80, 0.70),
    "joint": (0.20, 0.60, 0.60),
}
"""Relative brightness in turbo spin echo images at 1.5 to 3 tesla, as seen in real ones."""
SEQUENCES = ("T1", "T2", "STIR")
FULL_SCALE = 1400.0
"""Stored value of brightness 1 at the coil's best; the real files store 12 bits."""
SATURATED = 0.6
"""Share of series with a saturation band over the belly, against the ghosts of its motion: assumed from real images."""
SATURATION_FRONT = -50.0
"""Where that band begins: y in mm of the patient's frame, some way in front of the bodies."""


@dataclass(frozen=True, eq=False)
class Sequence:
    """How one series looks: the tissues' `signals` and the scanner's faults; `blur` in pixels.

    The coil's sensitivity falls off to the front (`coil_depth` mm) and to the ends (`coil_length` mm); `ghost` is the
    brightness of copies that breathing leaves; `saturation` is what a saturation band leaves of the belly's brightness;
    `noise` is relative to brightness 1.
    """

    name: str
    signals: Signals
    noise: float
    blur: float
    coil_depth: float
    coil_length: float
    ghost: float
    saturation: float
    gain: float


def draw_sequence(rng: np.random.Generator, name: str) -> Sequence:
    """Draws the look of a series of one of `SEQUENCES`."""
    column = SEQUENCES.index(name)
    signals = {tissue: values[column] * float(rng.normal(1.0, 0.06)) for tissue, values in TISSUES.items()}
    if name == "T2":
        signals["fat"] *= float(rng.uniform(0.7, 1.1))
    moving = rng.random() < 0.15
    return Sequence(
        name=name,
        signals=signals,
        noise=float(rng.uniform(0.012, 0.045)) * (1.4 if name == "STIR" else 1.0),
        blur=float(rng.uniform(0.35, 0.75)),
        coil_depth=float(rng.uniform(90.0, 220.0)),
        coil_length=float(rng.uniform(170.0, 300.0)),
        ghost=float(rng.uniform(0.03, 0.10)) if moving else 0.0,
        saturation=float(rng.uniform(0.15, 0.5)) if rng.random() < SATURATED else 1.0,
        gain=FULL_SCALE * float(rng.uniform(0.35, 1.1)),
    )


def acquire(rng: np.random.Generator, signal: Floats, y: Floats, z: Floats, sequence: Sequence) -> NDArray[np.uint16]:
    """What the scanner stores (H, W) of a slice's signal; y and z (H, W) are mm in the patient's frame."""
    seen = signal * _coil(y, z, sequence)
    seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), sequence.blur), dtype=np.float32)
    if sequence.ghost:
        shift = int(rng.integers(signal.shape[0] // 10, signal.shape[0] // 4))
        seen = seen + np.float32(sequence.ghost) * np.roll(seen, shift, axis=0)
    noise = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(sequence.noise)
    stored = np.sqrt((seen + noise[0]) ** 2 + noise[1] ** 2) * np.float32(sequence.gain)
    return np.clip(stored, 0, 4095).astype(np.uint16)


def _coil(y: Floats, z: Floats, sequence: Sequence) -> Floats:
    """Sensitivity of a spine coil under the back: 1 near the canal, more behind it, less in front and at the ends."""
    depth = np.exp((y - np.float32(20)) * np.float32(1 / sequence.coil_depth))
    behind_band = np.clip((y - np.float32(SATURATION_FRONT)) * np.float32(0.1) + np.float32(0.5), 0, 1)
    left_over = np.float32(sequence.saturation) + np.float32(1 - sequence.saturation) * behind_band
    return np.minimum(depth, 2.2) * left_over * np.exp(-((z * np.float32(1 / sequence.coil_length)) ** 2))
