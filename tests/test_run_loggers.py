"""Who is told of a training's figures: nobody unless the config says so, and a logger that is missing is named."""

import sys

import pytest

from lumbar.config import Config, ConfigError
from lumbar.run.loggers import PACKAGES, open_logger


def test_nobody_is_told_unless_the_config_says_so(tmp_path):
    assert Config(name="plain").logger == "none"
    assert open_logger("none", "plain", tmp_path, "spinal_fold0") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_logger_that_is_not_installed_is_named_with_what_installs_it(kind, tmp_path, monkeypatch):
    hidden = {name for name in sys.modules if name.split(".")[0] in (PACKAGES[kind], "tensorboardX")}
    for name in (*hidden, PACKAGES[kind], "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"logger: {kind} is not installed \(pip install {PACKAGES[kind]}\)"):
        open_logger(kind, "run", tmp_path, "spinal_fold0")


def test_a_loggers_files_lie_in_the_runs_folder(tmp_path):
    logger = open_logger("csv", "run", tmp_path, "spinal_fold0")
    logger.log_metrics({"loss": 0.5}, step=0)
    logger.save()
    assert (tmp_path / "logs" / "spinal_fold0" / "version_0" / "metrics.csv").read_text().splitlines()[1] == "0.5,0"
