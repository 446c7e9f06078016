"""Sweeps: a system with each value of one setting, and nothing else changed."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from lumbar.baselines.layers import build_bare, count_all
from lumbar.baselines.opening import read_published
from lumbar.baselines.papers import PAPERS
from lumbar.config import CompareConfig, Config, ConfigError
from lumbar.data.competition import Competition
from lumbar.systems.sweeps import SWEEPS, expect_sweep, run_sweep, with_value
from miniature import small_run
from test_comparison import CONFIG, SYSTEMS

NAME = "cnn_coordinates"


def differences(config: Config, other: Config) -> set[str]:
    """The keys of `grade` and `published` in which two configs differ, two sections deep."""
    flat = [
        pd.json_normalize(each.model_dump(include={"grade", "published"})).iloc[0].to_dict() for each in (config, other)
    ]
    return {key for key in flat[0] | flat[1] if flat[0].get(key) != flat[1].get(key)}


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("over", SWEEPS)
def test_each_value_of_a_setting_is_a_config_of_its_own(name, over):
    config = read_published(CONFIG, name)
    changed = [with_value(config, over, value) for value in SWEEPS[over]]
    settings = {each.model_dump_json(exclude={"name": True, "published": {"title"}}) for each in changed}
    assert len(settings) == len(changed)


def test_only_the_setting_itself_is_changed():
    config = read_published(CONFIG, NAME)
    assert differences(config, with_value(config, "activation", "tanh")) == {
        "published.title",
        "published.head.activation",
    }
    assert differences(config, with_value(config, "batch", "64")) == {"published.title", "grade.batch_size"}
    assert differences(config, with_value(config, "split", "random")) == {"published.title"}, "as the paper has it"


def test_wider_layers_hold_more_numbers():
    config = read_published(CONFIG, NAME)
    sizes = [count_all(build_bare(with_value(config, "width", value))) for value in SWEEPS["width"]]
    assert sizes == sorted(set(sizes))
    assert PAPERS[NAME].parameters == sizes[1]


def test_a_wrong_setting_or_system_lists_the_right_ones():
    with pytest.raises(
        ConfigError, match="there is no sweep over 'depth', there are activation, batch, epochs, width, "
    ):
        expect_sweep(NAME, "depth")
    with pytest.raises(ConfigError, match=r"classical_svm: is no paper's system .*, cnn_lstm, cnn_coordinates, "):
        expect_sweep("classical_svm", "batch")


@pytest.fixture(scope="module")
def swept(competition: Competition, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A sweep in miniature: its text and its folder."""
    folder = tmp_path_factory.mktemp("sweep")
    return run_sweep(small_run(competition, folder, CompareConfig(systems=SYSTEMS)), CONFIG, NAME, "activation")


def test_a_sweep_has_a_row_for_each_value_and_split_and_a_plot(swept):
    text, folder = swept
    assert folder.parts[-5:] == ("small", "systems", NAME, "sweeps", "activation")
    table = pd.read_csv(folder / "sweep.csv")
    assert table["net"].tolist() == [value for value in ("tanh", "leaky relu", "sigmoid", "relu") for _ in range(2)]
    assert table["split"].tolist() == ["own_split", "grouped"] * 4
    assert table["accuracy"].between(0, 1).all()
    assert table["final_loss"].nunique() > 4, "other activations, other losses"
    assert text in (folder / "sweep.txt").read_text()
    assert plt.imread(folder / "sweep.png")[..., :3].std() > 0.05


def test_splits_that_change_no_fold_share_its_graders(competition, tmp_path):
    _, folder = run_sweep(small_run(competition, tmp_path, CompareConfig(systems=SYSTEMS)), CONFIG, NAME, "split")
    for name in ("grade", "models", "predictions"):
        assert (folder / "stratified" / name).resolve() == (folder / "random" / name).resolve()
        assert not (folder / "equal" / name).is_symlink(), "other rows are trained on"
    table = pd.read_csv(folder / "sweep.csv")
    final = table.pivot_table(values="final_loss", index="split", columns="net")
    assert final.loc["grouped", "random"] == final.loc["grouped", "stratified"]
    assert final.loc["own_split", "random"] != final.loc["own_split", "stratified"]


def test_splits_of_a_system_that_tests_as_many_of_each_class_are_refused(competition, tmp_path):
    run = small_run(competition, tmp_path, CompareConfig(systems=SYSTEMS))
    with pytest.raises(ConfigError, match=r"five_block_cnn: there are no splits to sweep over, its own tests 3 of"):
        run_sweep(run, CONFIG, "five_block_cnn", "split")


def test_the_values_of_a_sweep_share_their_crops(swept):
    _, folder = swept
    for value in SWEEPS["activation"]:
        assert (folder / value / "crop").resolve() == (folder.parent / "crop").resolve()
