"""The backbones that two of the papers compare: which they are, and a system's run with each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import timm

from lumbar.baselines.backbones import NETWORKS
from lumbar.config import CompareConfig, Config, ConfigError, GradeConfig, check_config, merge
from lumbar.run.run import Run
from lumbar.systems.alone import open_system
from lumbar.systems.table_run import run_table

WEIGHTS = Path("weights")
"""Where `make weights` puts what a backbone can start from, below the folder that the command is run in."""


@dataclass(frozen=True)
class Backbone:
    """A net as a paper's table calls it, and its name here: timm's, or one of `baselines.backbones.NETWORKS`."""

    title: str
    name: str
    batch_size: int | None = None
    """The paper's for this net; None is the system's."""


TRANSFORMER = Backbone("Vision transformer", "vit_tiny_patch16_224")
"""In neither table; a next step of "Lumbar Spinal Canal Stenosis Classification" (Garcia de Celis, Bukaita)."""
BACKBONES = {
    "cnn_coordinates": (
        Backbone("EfficientNet", "efficientnet_b0"),
        Backbone("Inception", "inception_v3"),
        Backbone("Inception-ResNet", "inception_resnet_v2"),
        Backbone("ResNet50", "resnet50"),
        Backbone("Xception", "legacy_xception"),
        Backbone("MobileNet", "mobilenetv1_100"),
        Backbone("VGG16", "vgg16"),
        Backbone("custom", "three_block_cnn"),
        TRANSFORMER,
    ),
    "inception_two_head": (
        Backbone("InceptionV3", "inception_v3"),
        Backbone("Xception", "legacy_xception"),
        Backbone("VGG16", "vgg16"),
        Backbone("NASNetLarge", "nasnetalarge"),
        Backbone("ResNet50", "resnet50", batch_size=16),
        Backbone("MobileNetV2", "mobilenetv2_100"),
        Backbone("DenseNet", "densenet121"),
        TRANSFORMER,
    ),
}
"""The nets of each system's table in the paper's order. The papers seldom say which size of a net they took; these are
the smallest of their kind."""

COLUMNS = {
    "cnn_coordinates": {
        "train_accuracy": "train accuracy",
        "accuracy": "accuracy",
        "precision_as_published": "precision",
        "recall_as_published": "recall",
        "roc_auc_as_published": "AUC",
        "pr_auc_as_published": "PR-AUC",
        "rmse_as_published": "RMSE",
        "f1_as_published": "F1",
        "f_beta_as_published": "F-beta",
    },
    "inception_two_head": {
        "accuracy": "accuracy",
        "epochs": "epochs",
        "batch_size": "batch",
        "seconds": "seconds",
        "final_loss": "final loss",
        "roc_auc_as_published": "ROC-AUC",
        "level_accuracy": "level accuracy",
    },
}
"""The columns of each paper's table: keys of a row, and their heads."""


def choose_backbones(name: str, only: Sequence[str] = ()) -> tuple[Backbone, ...]:
    """A system's nets, or those named in `only`; ConfigError, which lists the right names, for a wrong one."""
    if name not in BACKBONES:
        raise ConfigError(f"{name}: its paper compares no backbones; those of {', '.join(BACKBONES)} do")
    known = [backbone.name for backbone in BACKBONES[name]]
    if wrong := [each for each in only if each not in known]:
        raise ConfigError(f"{name}: there is no backbone {wrong[0]!r}, there are {', '.join(known)}")
    return tuple(backbone for backbone in BACKBONES[name] if not only or backbone.name in only)


def open_backbones(main: Run, config_path: Path, name: str, data: Path | None, full_size: bool = False) -> Run:
    """The run that the nets of a system's table share the crops of, in `backbones/` below the system's own run.

    Its size is what `compare.systems` and then `compare.backbones` make of the system's; `full_size` is the paper's.
    ConfigError, which lists the right names, where `compare.backbones` names a system without such a table.
    """
    asked = main.config.compare
    if wrong := set(asked.backbones) - set(BACKBONES):
        raise ConfigError(f"{config_path}: compare.backbones.{min(wrong)}: expected one of {', '.join(BACKBONES)}")
    changes = merge(asked.systems.get(name, {}), asked.backbones.get(name, {}))
    config = main.config.model_copy(update={"compare": CompareConfig(systems={**asked.systems, name: changes})})
    system = open_system(Run(config, main.competition, main.folder), config_path, name, data, full_size)
    return Run(system.config, system.competition, system.folder / "backbones")


def run_backbones(shared: Run, backbones: Sequence[Backbone]) -> str:
    """Trains and measures a system with each backbone and returns the table, see `table_run.run_table`; `shared` is of
    `open_backbones`."""
    runs = [open_row(shared, backbone) for backbone in backbones]
    return run_table(shared, runs, COLUMNS[shared.config.name], shared.folder / "backbones")


def open_row(shared: Run, backbone: Backbone) -> Run:
    """A system's run with another backbone, in a folder of its name below the run whose crops it shares."""
    return Run(with_backbone(shared.config, backbone), shared.competition, shared.folder / backbone.name)


def with_backbone(config: Config, backbone: Backbone, weights: Path = WEIGHTS) -> Config:
    """A system's config with another backbone, and its local weights where there are some.

    timm's nets are made for colour images, so they are given the grey values three times.
    """
    grade = {
        "backbone": backbone.name,
        "weights": find_weights(config.grade, backbone, weights),
        "batch_size": backbone.batch_size or config.grade.batch_size,
    }
    name = f"{config.name}-{backbone.name}"
    repeated = {"repeat_channels": backbone.name not in NETWORKS}
    changes = {"name": name, "grade": grade, "published": {"title": backbone.title, "input": repeated}}
    return check_config(Path(name), merge(config.model_dump(), changes))


def find_weights(grade: GradeConfig, backbone: Backbone, folder: Path) -> Path | None:
    """The weights that the system's config names for its own backbone, or those in a folder; None is from scratch.

    A net whose weights are for images of one size starts from them at that size only.
    """
    if grade.weights and backbone.name == grade.backbone:
        return grade.weights
    path = folder / f"{backbone.name}.safetensors"
    described = timm.get_pretrained_cfg(backbone.name) if timm.is_model(backbone.name) else None
    if described and described.fixed_input_size and described.input_size[-1] != grade.image_size:
        return None
    return path if path.is_file() else None
