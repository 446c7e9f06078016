"""What a run does, as frozen models that refuse unknown keys. A YAML file holds only what differs from the defaults.

The defaults are a plain run of the main pipeline, in which each condition group has one view and one grader; what a
recipe in `configs/` does otherwise, the real competition's as well, stands in its file. Each stage with something to
choose has its section, with a line under each key that says what it means; `base: other.yaml` takes over what another
file says.
"""

from lumbar.config.crop import CropConfig, ViewConfig
from lumbar.config.detect import LOOKS_WITH, DetectConfig
from lumbar.config.files import ConfigError, check_config, merge, read_config, read_saved_config, read_values
from lumbar.config.grade import GradeConfig, GraderConfig, Precision
from lumbar.config.published import (
    POOLED,
    AugmentationConfig,
    CellsConfig,
    CompareConfig,
    ExamplesConfig,
    FitConfig,
    OwnSplitConfig,
    PublishedConfig,
    SliceConfig,
)
from lumbar.config.run import Config, FoldsConfig, LoggerName, Member, PhantomConfig

__all__ = [
    "LOOKS_WITH",
    "POOLED",
    "AugmentationConfig",
    "CellsConfig",
    "CompareConfig",
    "Config",
    "ConfigError",
    "CropConfig",
    "DetectConfig",
    "ExamplesConfig",
    "FitConfig",
    "FoldsConfig",
    "GradeConfig",
    "GraderConfig",
    "LoggerName",
    "Member",
    "OwnSplitConfig",
    "PhantomConfig",
    "Precision",
    "PublishedConfig",
    "SliceConfig",
    "ViewConfig",
    "check_config",
    "merge",
    "read_config",
    "read_saved_config",
    "read_values",
]
