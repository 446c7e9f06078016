"""Whether images are T1- or T2-weighted, by what somebody has called their series."""

import re

T1, T2 = re.compile(r"T1(?!\d)", re.IGNORECASE), re.compile(r"(?<!PA)T2(?!\d)|STIR", re.IGNORECASE)
"""T12 is a vertebra, and PAT2 how fast an image was taken. STIR stands for T2."""
TIRM = re.compile("TIRM", re.IGNORECASE)
"""What Siemens calls STIR, unless it is said to be T1: then another tissue is dark."""


def weighting_in(name: str) -> str | None:
    """`T1` or `T2` (also STIR) where a series' name says one of them; None where it says neither, or both."""
    is_t1, is_t2 = T1.search(name) is not None, T2.search(name) is not None
    if is_t1 != is_t2:
        return "T1" if is_t1 else "T2"
    return "T2" if TIRM.search(name) and not is_t1 else None
