"""Configs: what differs from the defaults, refused with the file and the key when it makes no sense."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from lumbar.config import Config, ConfigError, CropConfig, GradeConfig, read_config
from lumbar.labels import GROUPS

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


@pytest.fixture
def config_file(tmp_path: Path):
    """Writes a YAML config and gives its path."""

    def write(content: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(content, encoding="utf-8")
        return path

    return write


def test_an_empty_config_is_the_defaults_under_the_files_name(config_file):
    config = read_config(config_file(""))
    assert config == Config(name="mine")
    assert config.folds_file == Path("folds/mine.csv")


def test_what_the_file_says_replaces_the_defaults_and_nothing_else(config_file):
    config = read_config(config_file("name: other\nseed: 3\ndetect:\n  epochs: 7\nfolds:\n  file: a/b.csv\n"))
    assert (config.name, config.seed, config.detect.epochs) == ("other", 3, 7)
    assert config.detect.image_size == Config(name="x").detect.image_size
    assert config.folds_file == Path("a/b.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("detect:\n  epoch: 3\n", "detect.epoch: there is no such key"),
        ("colour: red\n", "colour: there is no such key"),
        ("detect:\n  scale: huge\n", "detect.scale: .*'p', 'n', 's', 'm', 'l' or 'x', got 'huge'"),
        ("detect:\n  image_size: 100\n", "detect.image_size: .*multiple of 32, got 100"),
        ("folds:\n  count: 1\n", "folds.count: .*greater than or equal to 2, got 1"),
        ("crop:\n  views:\n    spinal:\n      slices: 4\n", "crop.views.spinal.slices: .*expected an odd number"),
        ("grade:\n  image_size: 288\n", "yaml: crop.views.spinal.size 256 is below image_size 288 of grader spinal$"),
        (
            "published:\n  input:\n    repeat_channels: true\n",
            "repeat_channels needs crop.views.spinal.slices 1, got 5$",
        ),
        ("name: ''\n", "name: expected a name that a folder below runs/ can have, got ''"),
        ("name: ../elsewhere\n", "name: expected a name that a folder below runs/ can have"),
        ("base: 3\n", "base: expected the name of a config beside this one, got 3"),
        ("base: none.yaml\n", r"base: there is no .*none\.yaml"),
        ("base: mine.yaml\n", "base: mine.yaml is built on this config itself"),
        ("seed: -1\n", "seed: .*greater than or equal to 0, got -1"),
        ("grade:\n  epochs: many\n", "grade.epochs: .*integer.*, got 'many'"),
        ("- a\n- b\n", "expected keys and values, got list"),
        ("a: [\n", "not YAML"),
        ("seed: 1\ndetect:\n  epochs: 3\nseed: 2\n", "seed: stands in line 1 and in line 4, expected it once"),
        ("detect:\n  epochs: 3\n  scale: p\n  epochs: 4\n", "epochs: stands in line 2 and in line 4, expected it once"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_key(config_file, content, message):
    path = config_file(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(path)
    assert str(caught.value).startswith((f"{path}: ", f"{path.parent}/none.yaml: "))


def test_a_key_may_stand_beside_the_same_one_of_a_section_that_is_merged_in(config_file):
    graders = "  one: &one {views: spinal, epochs: 3}\n  other: {<<: *one, epochs: 4}\n"
    config = read_config(config_file(f"graders:\n{graders}"))
    assert [grader.epochs for grader in config.graders.values()] == [3, 4]


def test_every_mistake_is_named_at_once(config_file):
    with pytest.raises(ConfigError) as caught:
        read_config(config_file("seed: x\ndetect:\n  epochs: 0\n"))
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: there is no such config"):
        read_config(tmp_path / "none.yaml")


def test_a_config_cannot_be_changed_once_it_is_read():
    with pytest.raises(ValidationError, match="frozen"):
        Config(name="x").seed = 4


def test_a_config_survives_the_way_through_json():
    config = Config(name="x", grade=GradeConfig(weights=Path("a.safetensors")))
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_every_group_has_a_view():
    assert [CropConfig().own_view(group) for group in ("spinal", "foraminal", "subarticular")] == list(GROUPS)


def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A config model and all those within it."""
    inner = [field.annotation for field in model.model_fields.values()]
    found = [one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)]
    return [model, *(deeper for one in found for deeper in sections(one))]


def test_every_setting_says_what_it_is():
    named = {
        f"{model.__name__}.{name}": field for model in sections(Config) for name, field in model.model_fields.items()
    }
    inner = {key for key, field in named.items() if isinstance(field.default, BaseModel)}
    assert [key for key, field in named.items() if not field.description and key not in inner] == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_committed_config_is_read_and_names_its_run(path):
    named = {"compare": "demo"}  # the systems stand beside the demo's run
    assert read_config(path).name == named.get(path.stem, path.stem)


def test_the_comparison_trains_the_main_pipeline_just_as_the_demo_does():
    demo, compare = (read_config(path.parent / f"{name}.yaml") for path in CONFIGS[:1] for name in ("demo", "compare"))
    assert compare.model_copy(update={"compare": demo.compare}) == demo


def test_the_smoke_run_has_every_net_of_gold_and_trains_each_for_an_epoch():
    smoke, gold = (read_config(path) for name in ("smoke", "gold") for path in CONFIGS if path.stem == name)
    briefly = {"epochs": 1}
    assert smoke.crop == gold.crop
    assert smoke.trained_graders == {
        name: grader.model_copy(update=briefly) for name, grader in gold.trained_graders.items()
    }
    assert smoke.detect == gold.detect.model_copy(update={"epochs": 2})


def test_there_are_committed_configs():
    assert "demo" in [path.stem for path in CONFIGS]


def test_a_config_takes_over_its_base_and_says_only_what_differs(tmp_path):
    (tmp_path / "small.yaml").write_text("name: little\nseed: 3\ndetect: {epochs: 7, scale: p}\n")
    (tmp_path / "middle.yaml").write_text("base: small.yaml\ndetect: {epochs: 8}\n")
    (tmp_path / "large.yaml").write_text("base: middle.yaml\ngrade: {epochs: 9}\n")
    config = read_config(tmp_path / "large.yaml")
    assert (config.name, config.seed, config.detect.scale) == ("large", 3, "p"), "a base gives everything but its name"
    assert (config.detect.epochs, config.grade.epochs) == (8, 9)


def test_a_mistake_in_a_base_is_named_with_the_bases_file(tmp_path):
    (tmp_path / "small.yaml").write_text("detect: {epoch: 7}\n")
    (tmp_path / "large.yaml").write_text("base: small.yaml\n")
    with pytest.raises(ConfigError, match=r"^.*small\.yaml: detect\.epoch: there is no such key"):
        read_config(tmp_path / "large.yaml")


def test_configs_that_are_built_on_each_other_are_refused(tmp_path):
    (tmp_path / "one.yaml").write_text("base: two.yaml\n")
    (tmp_path / "two.yaml").write_text("base: one.yaml\n")
    with pytest.raises(ConfigError, match="is built on this config itself"):
        read_config(tmp_path / "one.yaml")


# Views and graders


def test_without_graders_each_view_has_one_of_its_name(config_file):
    config = read_config(config_file("crop:\n  views:\n    spinal: {size: 300}\n    high: {group: spinal}\n"))
    assert {name: member.group for name, member in config.members.items()} == {"spinal": "spinal", "high": "spinal"}
    assert config.crop.views["spinal"].group == "spinal", "a view that bears a group's name need not say it"


def test_a_grader_says_only_what_it_does_otherwise_than_all(config_file):
    config = read_config(
        config_file(
            "grade: {epochs: 7, seeds: 2}\ngraders:\n  canal: {views: spinal, epochs: 9}\n"
            "  recess: {views: [subarticular], seeds: 1}\n"
        )
    )
    assert {name: member.config.epochs for name, member in config.members.items()} == {
        "canal": 9,
        "canal_1": 9,
        "recess": 7,
    }
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_null_takes_away_what_a_base_has(tmp_path):
    (tmp_path / "base.yaml").write_text("crop: {views: {spinal: {size: 300}, foraminal: {}}}\n")
    (tmp_path / "mine.yaml").write_text("base: base.yaml\ncrop: {views: {foraminal: null}}\n")
    assert list(read_config(tmp_path / "mine.yaml").crop.views) == ["spinal"]


def test_a_section_whose_lines_are_all_commented_out_is_refused_where_its_base_would_be_forgotten(tmp_path):
    (tmp_path / "base.yaml").write_text("detect: {learning_rate: 0.001}\ngraders: {canal: {views: spinal}}\n")
    (tmp_path / "mine.yaml").write_text("base: base.yaml\ndetect:\n  # epochs: 3\ngraders: null\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: detect: expected its keys, got none; leave it out"):
        read_config(tmp_path / "mine.yaml")


JOINED = "graders:\n  both: {views: [spinal, axial], "
AXIAL = "crop:\n  views:\n    spinal: {}\n    axial: {group: spinal, series: Axial T2}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("graders:\n  canal: {views: other}\n", r"graders\.canal: there is no view other in crop\.views, there are"),
        ("graders:\n  canal: {views: []}\n", r"graders\.canal\.views: .*at least 1 item"),
        ("graders:\n  Canal: {views: spinal}\n", "lower-case letters, digits and _, without _fold, got 'Canal'"),
        ("graders:\n  a_fold1: {views: spinal}\n", "without _fold, got 'a_fold1'"),
        ("graders:\n  detector: {views: spinal}\n", "may be called detector: the detector's files bear it"),
        ("graders:\n  pool: {views: spinal}\n", "may be called pool: it is what an ensemble calls all its members"),
        ("crop: {views: {detector: {group: spinal}}}\n", r"crop\.views: no view .* detector: the detector's files"),
        ("crop: {views: {pool: {group: spinal}}}\n", r"crop\.views: no view .* called pool: it is what an ensemble"),
        ("graders:\n  a: {views: spinal, seeds: 2}\n  a_1: {views: spinal}\n", "two nets would have one name"),
        ("graders:\n  a: {views: spinal, slice_shift: 0.5}\n", r"a\.slice_shift needs crop\.views\.spinal\.spare"),
        ("graders:\n  a: {views: [spinal, foraminal]}\n", "expected views of one condition group"),
        (AXIAL + JOINED + "slices_as: channels}\n", "joining needs slices_as: sequence"),
        ("graders:\n  a: {views: spinal, slices_as: sequence, slice_loss: 0.1}\n", "only at annotated points"),
        (
            AXIAL + "graders:\n  a: {views: axial, slices_as: sequence, slice_loss: 0.1, points: either}\n",
            "no slice of axial, which is another",
        ),
        ("folds: {held_out: [1, 1]}\n", "folds.held_out: expected different folds"),
        ("folds: {held_out: [0]}\n", "folds.held_out has detected points of its own folds only"),
        ("grade: {mixup: 0.8, cutmix: 0.3}\n", "mixup and cutmix are shares of the batches"),
        ("grade: {slice_loss: 0.1}\n", "slice_loss and colours need slices_as: sequence"),
        (
            "crop: {views: {spinal: {series: Sagittal T2/STIR}}}\n",
            "is the spinal points' own, for which",
        ),
        ("crop: {views: {mine: {size: 100}}}\n", r"crop\.views\.mine\.group: Field required"),
        ("crop: {views: {}}\n", "expected at least one name"),
        ("folds: {held_out: []}\n", r"folds\.held_out: .*at least 1 item"),
    ],
)
def test_views_and_graders_that_do_not_fit_are_named(config_file, content, message):
    with pytest.raises(ConfigError, match=message):
        read_config(config_file(content))


@pytest.mark.parametrize(
    "said", ["mixup: 0.5", "points: annotated", "augmentation: 0.5", "turns: [0, 5]", "scaling: weights"]
)
def test_a_published_system_is_told_nothing_that_it_would_not_heed(config_file, said):
    key = said.partition(":")[0]
    with pytest.raises(
        ConfigError, match=rf"yaml: grade\.{key}: a published system does not heed it.*; expected .*, got"
    ):
        read_config(config_file(f"grade: {{{said}}}\npublished: {{title: Mine}}\n"))
    assert read_config(config_file(f"grade: {{{said}}}\n")).published is None


@pytest.mark.parametrize("path", sorted(CONFIGS[0].parent.glob("published/*.yaml")), ids=lambda path: path.stem)
def test_every_published_config_says_only_what_its_system_heeds(path):
    assert read_config(path).published


def test_views_of_one_group_may_be_joined(config_file):
    config = read_config(config_file(AXIAL + JOINED + "slices_as: sequence}\n"))
    assert config.members["both"].group == "spinal"
