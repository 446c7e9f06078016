"""What the five papers report of their systems: the authors' own figures, on the authors' own splits."""

from dataclasses import dataclass, field

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of a paper: its columns' heads, and its rows as they are printed; a dash where it says nothing."""

    title: str
    heads: Row
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Paper:
    """A paper, what it grades, and what it reports."""

    title: str
    authors: str
    task: str
    headline: str
    """The figure that it is known by."""
    tables: tuple[Table, ...] = field(default=())
    parameters: int | None = None
    """All numbers of its net, with the running statistics of batch normalisation, if it counts them."""
    trainable: int | None = None
    """Those of them that are trained."""


COORDINATES = Table(
    "Transfer learning and the paper's own net, on its validation set",
    ("net", "train accuracy", "accuracy", "AUC"),
    (
        ("EfficientNet", "-", ".600", ".812"),
        ("Inception", "-", ".579", ".770"),
        ("Inception-ResNet", "-", ".607", ".798"),
        ("ResNet50", ".994", ".607", ".799"),
        ("Xception", "-", ".569", ".767"),
        ("MobileNet", "-", ".599", ".790"),
        ("VGG16", "-", ".610", ".822"),
        ("custom", ".620", ".618", ".773"),
    ),
)
TWO_HEADS = Table(
    "Backbones, on the paper's test set",
    ("net", "accuracy of the disease", "ROC-AUC"),
    (
        ("InceptionV3", "88.2 %", ".94"),
        ("Xception", "85.6 %", ".92"),
        ("VGG16", "68.8 %", ".80"),
        ("NASNetLarge", "84.4 %", ".91"),
        ("ResNet50", "61.6 %", ".72"),
        ("MobileNetV2", "85.6 %", ".91"),
        ("DenseNet", "83.8 %", ".90"),
    ),
)

PAPERS = {
    "cnn_lstm": Paper(
        "Detection and Severity Classification of Lumbar Spinal Stenosis in MRI Scans",
        "Dhopavkar et al.",
        "left subarticular stenosis at L4/L5 from axial slices, three grades",
        "accuracy 51.09 %",
        (Table("On its validation set", ("figure", "reported"), (("accuracy", "51.09 %"), ("loss", "1.036"))),),
    ),
    "cnn_coordinates": Paper(
        "Lumbar Spine Degenerative Condition Classification",
        "IIT Delhi",
        "left subarticular stenosis at all levels from an axial slice and the label's coordinates, three grades",
        "accuracy .618, AUC .773",
        (
            COORDINATES,
            Table(
                "Further figures of its own net",
                ("figure", "reported"),
                (("precision", ".668"), ("recall", ".446"), ("RMSE of the probabilities", ".417")),
            ),
        ),
        parameters=4_302_819,
        trainable=4_302_371,
    ),
    "vgg16_frozen": Paper(
        "Automated Detection and Classification of Spinal Disc Herniation",
        "Al-Ajaj, thesis",
        "the dominant class against all others on crops of the region of interest",
        "best validation accuracy 80.39 %",
        (
            Table(
                "On its validation set",
                ("figure", "reported"),
                (("best accuracy of all epochs", "80.39 %"), ("accuracy in the classification report", ".71")),
            ),
        ),
        parameters=14_747_585,
        trainable=32_897,
    ),
    "inception_two_head": Paper(
        "Automated Detection and Classification of Lumbar Spine Diseases",
        "University of Misan",
        "which of five conditions, or none, a whole slice shows, and at which level",
        "accuracy 88.2 %, ROC-AUC .94",
        (TWO_HEADS,),
    ),
    "five_block_cnn": Paper(
        "Lumbar Spinal Canal Stenosis Classification",
        "Garcia de Celis, Bukaita",
        "spinal canal stenosis from axial slices, three grades",
        "accuracy 89 %, recall of severe .97",
        (
            Table(
                "On 100 images of each grade",
                ("figure", "reported"),
                (("accuracy", "89 %"), ("recall of severe", ".97")),
            ),
        ),
    ),
}
"""By the names of the systems' configs."""
