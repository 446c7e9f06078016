"""The published systems, and two classical ones, so small that a comparison of them takes seconds."""

from pathlib import Path

from lumbar.labels import GROUPS

CONFIG = Path(__file__).parents[1] / "configs" / "compare.yaml"
SMALL = {"size": 32, "slices": 1}
FAST = {"image_size": 32, "epochs": 1, "batch_size": 2}
WATCHED = {"fit": {"watch": "loss"}}
SYSTEMS = {
    "cnn_lstm": {
        "crop": {"views": {"subarticular": SMALL | {"slices": 3}}},
        "grade": FAST,
        "published": WATCHED | {"own_split": {"repeats": 2}},
    },
    "cnn_coordinates": {"crop": {"views": {"subarticular": SMALL}}, "grade": FAST, "published": WATCHED},
    "vgg16_frozen": {
        "crop": {"views": {group: {"size": 32} for group in GROUPS}},
        "grade": FAST | {"backbone": "test_resnet"},
        "published": WATCHED,
    },
    "inception_two_head": {
        "crop": {"views": {group: {"size": 32} for group in GROUPS}},
        "grade": FAST | {"backbone": "test_resnet", "batch_size": 32},  # slices without an annotation are many
        "published": WATCHED | {"head": {"dense": [8]}},
    },
    "five_block_cnn": {
        "crop": {"views": {"spinal": {"size": 32}}},
        "grade": FAST,
        "published": WATCHED | {"examples": {"balance_to": 20}, "own_split": {"tested_each": 3}},
    },
    "classical_svm": {"grade": {"batch_size": 2}},
    "classical_forest": {"grade": {"batch_size": 2}},
}
