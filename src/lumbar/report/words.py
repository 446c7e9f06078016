"""Cells, groups and figures in words, as the report's titles say them."""

from lumbar.labels import CONDITIONS, GRADES, GROUPS, grade_title, level_title
from lumbar.metric import ANY_SEVERE_SPINAL

GROUP_TITLES = {name: group.condition.replace("_", " ").capitalize() for name, group in GROUPS.items()}
"""Such as `Spinal canal stenosis`."""
COMPONENT_TITLES = {**GROUP_TITLES, ANY_SEVERE_SPINAL: "Any severe canal"}
"""The metric's components; the last is one row a study."""
LANDMARK_TITLES = {"spinal": "canal", "foraminal": "foramina", "subarticular": "recesses"}
"""The points of a group."""
PLACES = {"spinal": "canal", "foraminal": "foramen", "subarticular": "recess"}
"""One point of a group."""
NONE = "–"
"""Stands where there is no figure."""


def grade_words(grade: int) -> str:
    """Such as `normal/mild`."""
    return grade_title(GRADES[grade]).lower()


def cell_words(condition: str, level: str) -> str:
    """Such as `left subarticular stenosis at L4/L5`."""
    return f"{condition.replace('_', ' ')} at {level_title(level)}"


def finding_words(grade: int, condition: str, level: str) -> str:
    """Such as `Severe left subarticular stenosis at L4/L5`."""
    words = f"{grade_words(grade)} {cell_words(condition, level)}"
    return words[0].upper() + words[1:]


def class_words(name: str) -> str:
    """A system's class, short enough for the head of a column: `left_subarticular_stenosis` is `left recess`."""
    if name in CONDITIONS:
        condition = CONDITIONS[name]
        return f"{condition.side or ''} {PLACES[condition.group]}".strip()
    return name.replace(GRADES[0], grade_words(0)).replace("_", " ")


def figure(value: float | None, digits: int = 2) -> str:
    """A figure with so many decimals, or a dash where there is none."""
    return NONE if value is None or value != value else minus(f"{value:.{digits}f}")


def minus(text: str) -> str:
    """A figure's text with a minus sign, which is as wide as a plus, for its hyphen."""
    return text.replace("-", "\u2212")


def percent(share: float | None, digits: int = 0) -> str:
    """A share as per cent."""
    return NONE if share is None or share != share else f"{100 * share:.{digits}f} %"


def breakable(name: str) -> str:
    """A name such as `normal/mild` that may be broken behind its slash where there is little room."""
    return name.replace("/", "/\u200b")
