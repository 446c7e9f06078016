"""Where an annotator would put the point of each cell."""

import numpy as np
from numpy.typing import NDArray

from lumbar.labels import LEVELS
from lumbar.phantom.anatomy.render import Patient
from lumbar.phantom.anatomy.spine import FIRST_GRADED

SIGN = {"left": 1.0, "right": -1.0, None: 0.0}
"""The sign of u on each side."""
BELOW_PEDICLE = 5.8
"""Millimetres of the foramen's point below the pedicle; so it is some 9 mm above the disc, as in the real points."""


def place_landmark(patient: Patient, group: str, side: str | None, level: str) -> NDArray[np.float64]:
    """The point (3,) in patient space, in mm, of a condition group on a side (None for the canal) at a level."""
    u, v, above = {"spinal": _in_canal, "foraminal": _in_foramen, "subarticular": _in_recess}[group](
        _Sampler(patient, side, level)
    )
    disc = float(patient.body.spine.discs[FIRST_GRADED + LEVELS.index(level)])
    return patient.to_patient_space(patient.body.spine.to_frame(SIGN[side] * u, v, disc + above))


class _Sampler:
    """The profile's values at the height of a disc, on one side."""

    def __init__(self, patient: Patient, side: str | None, level: str) -> None:
        spine = patient.body.spine
        self._profile = patient.profile
        self._row = int(spine.index(spine.discs[FIRST_GRADED + LEVELS.index(level)]))
        self._side = int(side == "right")

    def __getitem__(self, name: str) -> float:
        table = self._profile[name]
        return float(table[self._row] if table.ndim == 1 else table[self._side, self._row])


def _in_canal(at: _Sampler) -> tuple[float, float, float]:
    return 0.0, at["sac_front"] + at["sac_depth"] / 2, 0.0


def _in_foramen(at: _Sampler) -> tuple[float, float, float]:
    # The bodies are round, so that a foramen begins in front of the wall's middle.
    return at["foramen_offset"], at["foramen_width"] / 2 - 2.0, at["foramen_top"] - BELOW_PEDICLE


def _in_recess(at: _Sampler) -> tuple[float, float, float]:
    return 0.75 * at["canal_half_width"], at["bulge_recess"] + 0.4 + min(at["recess_depth"], 6.0) / 2, 0.0
