"""The competition's data, by Kaggle's own command."""

import logging
import shutil
import subprocess
import zipfile
from pathlib import Path

from tqdm import tqdm

from lumbar.errors import InputError
from lumbar.kaggle import COMPETITION

logger = logging.getLogger(__name__)


def download_competition(out: Path) -> Path:
    """Fetches and unpacks the data, and returns its folder, `<out>/<the competition's name>`.

    InputError where the command is missing, nobody is signed in, or the rules have not been accepted on the site; and
    where the folder is there without all of it, since nothing is unpacked over what somebody may have put there.
    """
    folder, archive = out / COMPETITION, out / f"{COMPETITION}.zip"
    if (folder / "train.csv").is_file() and (folder / "train_images").is_dir():
        logger.info("%s: is there already", folder)
        return folder
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(
            f"{folder}: is there already, but lacks train.csv or train_images; expected all of the data or an "
            "empty folder: move it away, or fetch to another place"
        )
    if shutil.which("kaggle") is None:
        raise InputError("the kaggle command is not installed (pip install kaggle)")
    command = ["kaggle", "competitions", "download", "-c", COMPETITION, "-p", str(out)]
    logger.info("fetching the competition's data (about 30 GB): %s", " ".join(command))
    out.mkdir(parents=True, exist_ok=True)
    if subprocess.run(command).returncode or not archive.is_file():
        raise InputError(
            "kaggle did not fetch the data (see above): is somebody signed in, and are the rules of the competition "
            "accepted on its page?"
        )
    _unpack(archive, folder)
    archive.unlink()
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """Unpacks beside the folder first, so that half a data set never passes for one."""
    beside = folder.with_name(f".{folder.name}")
    shutil.rmtree(beside, ignore_errors=True)
    with zipfile.ZipFile(archive) as packed:
        for member in tqdm(packed.infolist(), desc="unpack", unit="file"):
            packed.extract(member, beside)
    beside.replace(folder)
