"""What a run does, as frozen models that refuse unknown keys. A YAML file holds only what differs from the defaults.

Each stage with something to choose has its section, with a line under each key that says what it means.
"""

from lumbar.config.crop import CropConfig, ViewConfig
from lumbar.config.detect import DetectConfig
from lumbar.config.files import ConfigError, check_config, read_config, read_saved_config, read_values
from lumbar.config.grade import (
    POOLED,
    AugmentationConfig,
    CellsConfig,
    ExamplesConfig,
    GradeConfig,
    HeadConfig,
    InputConfig,
    Precision,
)
from lumbar.config.run import CompareConfig, Config, FoldsConfig, OwnSplitConfig, PhantomConfig, SubmitConfig

__all__ = [
    "POOLED",
    "AugmentationConfig",
    "CellsConfig",
    "CompareConfig",
    "Config",
    "ConfigError",
    "CropConfig",
    "DetectConfig",
    "ExamplesConfig",
    "FoldsConfig",
    "GradeConfig",
    "HeadConfig",
    "InputConfig",
    "OwnSplitConfig",
    "PhantomConfig",
    "Precision",
    "SubmitConfig",
    "ViewConfig",
    "check_config",
    "read_config",
    "read_saved_config",
    "read_values",
]
