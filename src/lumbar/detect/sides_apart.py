"""Studies whose two sides were counted from different vertebrae.

They are only named: left out of a detector's training, it did not help (LAB.md, 2026-11-27).
"""

import numpy as np
import pandas as pd

from lumbar.data.points import PATIENT
from lumbar.labels import CONDITIONS, SIDES, group_of

APART_MM = 15.0
"""Half the usual distance between neighbouring levels: a point farther than that is nearer to another level."""


def studies_with_sides_apart(annotated: pd.DataFrame) -> list[int]:
    """The studies of the annotated points whose left and right foramina were counted from different vertebrae: of most
    levels they lie a level apart in the sagittal plane. They contradict themselves, whatever a detector finds.

    So are 51 of the competition's 1,965 studies; in the others the two sides differ by less than .4 of a level.
    """
    foramina = annotated[[group_of(condition) == "foraminal" for condition in annotated["condition"]]]
    places = foramina.assign(side=[CONDITIONS[condition].side for condition in foramina["condition"]])
    beside = places.pivot_table(index=["study_id", "level"], columns="side", values=PATIENT[1:])
    beside = beside.reindex(columns=pd.MultiIndex.from_product([PATIENT[1:], SIDES]))
    apart = np.hypot(*(beside[axis]["left"] - beside[axis]["right"] for axis in PATIENT[1:]))
    typical = apart.groupby("study_id").median()
    return typical.index[typical > APART_MM].tolist()
