"""From lumbar spine MRI (DICOM) to a submission for RSNA 2024 Lumbar Spine Degenerative Classification.

Importing the package changes nothing in the process and loads no library. Its front door, loaded when it is asked for:

    lumbar.read_series(folder)             a folder of DICOM files as slices in patient millimetres
    lumbar.score(labels, predictions)      the competition's metric
    lumbar.predict(study_folder, models)   the 25 grades of one study
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumbar.door import predict, read_series, score

__version__ = "0.2.0"
__all__ = ["__version__", "predict", "read_series", "score"]


def __dir__() -> list[str]:
    """Also the names that are only loaded when they are asked for."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """What the front door gives, loaded when it is first asked for."""
    if name in __all__:
        return getattr(import_module("lumbar.door"), name)
    raise AttributeError(f"module 'lumbar' has no attribute '{name}'; its front door is {', '.join(__all__[1:])}")
