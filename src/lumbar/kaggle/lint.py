"""Checks of what is about to be pushed, so that Kaggle's refusals, and what it passes over in silence, are met at home.

The rules are those of the `kaggle` command (2.2) and of its documentation. Each complaint is a sentence that says what
is wrong, and how to mend it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lumbar.kaggle import COMPETITION, PLACEHOLDER
from lumbar.kaggle.kernels import KERNEL_METADATA
from lumbar.kaggle.manifest import BUNDLE, METADATA, TRAINING, find_file_faults
from lumbar.kaggle.owner import find_owner_fault
from lumbar.kaggle.wheels import find_wheel_faults
from lumbar.submit.cards import find_gaps, find_model_faults

DATA_SETS = {"bundle": BUNDLE, "training": TRAINING}
"""The folders that are uploaded as data sets, each with the list of its files."""
DATA_SET_OF = {"inference": "bundle", "training": "training"}
"""The kernels, each with the folder of the data set that it needs."""
TARGET_OF = {"inference": "bundle", "training": "bundle-training"}
"""The kernels, each with what makes it and its data set."""
LICENCES = [
    *("CC0-1.0", "CC-BY-3.0", "CC-BY-3.0-IGO", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-ND-4.0"),
    *("CC-BY-NC-4.0", "CC-BY-NC-SA-3.0-IGO", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0", "GPL-2.0", "GPL-3.0", "LGPL-3.0"),
    *("AGPL-3.0", "FDL-1.3", "apache-2.0", "ODbL-1.0", "DbCL-1.0", "ODC-BY-1.0", "PDDL", "CDLA-Permissive-1.0"),
    *("CDLA-Sharing-1.0", "US-Government-Works", "EU-ODP-Legal-Notice", "copyright-authors", "other", "unknown"),
]
"""Those that Kaggle's data sets know by name."""
SHAPES = [
    *("NvidiaTeslaT4", "NvidiaTeslaT4Highmem", "NvidiaL4", "NvidiaL4X1", "NvidiaTeslaA100", "NvidiaH100"),
    "NvidiaRtxPro6000",
]
"""Kaggle's machines with a GPU. For another, such as the retired NvidiaTeslaP100, it takes a default in silence."""
SUFFIXES = frozenset({".csv", ".json", ".safetensors", ".whl", ".yaml"})
"""What a bundle is made of. Nothing of it is a pickle, which would run code when it is read."""
ARCHIVES = frozenset({".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"})
LONGEST_SCRIPT = 1_000_000
"""Bytes that Kaggle takes as a kernel's source."""


def lint_submission(folder: Path, source: Path) -> list[str]:
    """Every complaint about the kernels in `submission/` and their data sets; `source` is the repository."""
    kernels = [name for name in DATA_SET_OF if (folder / "kernels" / name).is_dir()]
    if not kernels:
        return [f"{folder}: there is no kernel to push; make bundle OWNER=<your user name> writes it"]
    return [complaint for name in kernels for complaint in lint_kernel(folder, name, source)]


def lint_kernel(folder: Path, kernel: str, source: Path) -> list[str]:
    """Every complaint about one kernel in `submission/` and the data set that it needs."""
    complaints = [*_lint_script(folder / "kernels" / kernel), *_lint_attachment(folder, kernel)]
    data_set = DATA_SET_OF[kernel]
    if (folder / data_set).is_dir():
        complaints += _lint_data_set(folder / data_set, data_set, source)
    return complaints


def _lint_data_set(folder: Path, name: str, source: Path) -> Iterator[str]:
    yield from _lint_metadata(folder / METADATA, _lint_data_set_metadata)
    faults = list(find_file_faults(folder, DATA_SETS[name]))
    yield from faults
    yield from _lint_suffixes(folder)
    yield from find_wheel_faults(folder / "wheels", source / "requirements.txt")
    if name == "bundle" and not faults:
        yield from list(find_model_faults(folder / "models")) or find_gaps(folder / "models")


def _lint_metadata(path: Path, *rules: Callable[[Mapping[str, Any]], Iterator[str]]) -> Iterator[str]:
    metadata = read_metadata(path)
    if not metadata:
        yield f"{path}: is not there, or is not JSON; make it again"
        return
    for rule in rules:
        for complaint in rule(metadata):
            yield f"{path}: {complaint}"


def _lint_data_set_metadata(metadata: Mapping[str, Any]) -> Iterator[str]:
    yield from _lint_id(metadata, 6)
    title, licences = metadata.get("title"), metadata.get("licenses")
    if not isinstance(title, str) or not 6 <= len(title) <= 50:
        yield f"title is {title!r}; write one of 6 to 50 characters"
    if not isinstance(licences, list) or len(licences) != 1:
        yield f'licenses is {licences!r}; name exactly one, such as [{{"name": "other"}}]'
    elif not isinstance(licences[0], dict) or licences[0].get("name") not in LICENCES:
        yield f"licenses holds {licences[0]!r}; the names that Kaggle knows are {', '.join(sorted(LICENCES))}"
    subtitle = metadata.get("subtitle")
    if subtitle and not 20 <= len(subtitle) <= 80:
        yield f"subtitle has {len(subtitle)} characters; write 20 to 80, or leave it out"


def _lint_suffixes(folder: Path) -> Iterator[str]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix in ARCHIVES:
            yield f"{path}: Kaggle unpacks archives, so this file would not be there; unpack it, or leave it out"
        elif path.suffix not in SUFFIXES:
            yield f"{path}: a bundle holds {', '.join(sorted(SUFFIXES))} and nothing else; leave it out"


def _lint_script(folder: Path) -> Iterator[str]:
    path = folder / KERNEL_METADATA
    yield from _lint_metadata(path, _lint_kernel_name, _lint_switches, _lint_sources)
    code = str(read_metadata(path).get("code_file", ""))
    if not code or not (folder / code).is_file():
        yield f"{path}: code_file is {code!r}, and there is no such file beside it; make the kernel again"
    elif (folder / code).stat().st_size > LONGEST_SCRIPT:
        yield f"{folder / code}: is larger than the {LONGEST_SCRIPT} bytes that Kaggle takes; move code to the package"


def _lint_kernel_name(metadata: Mapping[str, Any]) -> Iterator[str]:
    yield from _lint_id(metadata, 5)
    title, slug = str(metadata.get("title", "")), str(metadata.get("id", "")).rpartition("/")[2]
    if not 5 <= len(title) <= 50:
        yield f"title is {title!r}; write one of 5 to 50 characters"
    if slugify(title) != slug:
        yield f"the title {title!r} becomes {slugify(title)!r} on Kaggle, the id says {slug!r}; make them the same"
    for key, choices in {"language": ("python",), "kernel_type": ("script",)}.items():
        if metadata.get(key) not in choices:
            yield f"{key} is {metadata.get(key)!r}; write {' or '.join(map(repr, choices))}"


def _lint_switches(metadata: Mapping[str, Any]) -> Iterator[str]:
    for key, wanted, why in (
        ("enable_internet", False, "the competition forbids it, and it is on when nothing is said"),
        ("enable_gpu", True, "without it the time may not be enough"),
        ("is_private", True, "what is public is shared with the other teams"),
    ):
        if _read_switch(metadata.get(key)) is not wanted:
            yield f"{key} is {metadata.get(key)!r}; write {str(wanted).lower()}: {why}"
    if metadata.get("machine_shape") not in SHAPES:
        yield f"machine_shape is {metadata.get('machine_shape')!r}; choose one of {', '.join(sorted(SHAPES))}"


def _read_switch(value: object) -> bool | None:
    """A switch as the kaggle command reads it: true, false or either as a word."""
    words = {"true": True, "false": False}
    return words.get(value.lower()) if isinstance(value, str) else value if isinstance(value, bool) else None


def _lint_sources(metadata: Mapping[str, Any]) -> Iterator[str]:
    if metadata.get("competition_sources") != [COMPETITION]:
        yield f"competition_sources is {metadata.get('competition_sources')!r}; write [{COMPETITION!r}]"
    for key, pattern, form in (
        ("dataset_sources", r"[^/]+/[^/]+(/\d+)?", "owner/slug"),
        ("kernel_sources", r"[^/]+/[^/]{5,}(/\d+)?", "owner/slug, the slug of at least 5 characters"),
        ("model_sources", r"[^/]+/[^/]+/[^/]+/[^/]+/\d+", "owner/model/framework/variation/version"),
    ):
        sources = metadata.get(key, [])
        if not isinstance(sources, list):
            yield f"{key} is {sources!r}; write a list"
            continue
        for source in sources:
            if not isinstance(source, str) or not re.fullmatch(pattern, source):
                yield f"{key} holds {source!r}; write it as {form}"
            elif source.startswith(f"{PLACEHOLDER}/"):
                yield f"{key} holds {source!r}; make it again with OWNER=<your user name>"
            elif source == metadata.get("id"):
                yield f"{key} holds the kernel itself; push the next run under another name (RUN=2)"


def _lint_attachment(folder: Path, kernel: str) -> Iterator[str]:
    """A kernel needs its data set; only the inference kernel may take what a training kernel has made instead."""
    path = folder / "kernels" / kernel / KERNEL_METADATA
    metadata, data_set = read_metadata(path), folder / DATA_SET_OF[kernel]
    attached = metadata.get("dataset_sources") or []
    if kernel == "inference" and not attached and metadata.get("kernel_sources"):
        return
    made = read_metadata(data_set / METADATA).get("id") if data_set.is_dir() else None
    if made is None:
        yield f"{data_set}: is not there, and {kernel} takes it as a data set; make {TARGET_OF[kernel]}"
    elif made not in attached:
        yield f"{path}: dataset_sources lacks {made!r}, the id of {data_set}; make {TARGET_OF[kernel]}"


def _lint_id(metadata: Mapping[str, Any], shortest: int) -> Iterator[str]:
    owner, _, slug = str(metadata.get("id", "")).partition("/")
    if owner == PLACEHOLDER:
        yield f"id is {metadata['id']!r}; make it again with OWNER=<your user name>"
    elif owner and (fault := find_owner_fault(owner)):
        yield f"id is {metadata['id']!r}; {fault}"
    if not owner or slug != slugify(slug) or not shortest <= len(slug) <= 50:
        yield (
            f"id is {metadata.get('id')!r}; write owner/slug, the slug of {shortest} to 50 small letters, digits and "
            "dashes"
        )


def slugify(title: str) -> str:
    """What Kaggle makes of a title: small letters and digits, a dash for whatever is between."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def read_metadata(path: Path) -> Mapping[str, Any]:
    """A metadata file's entries; none where it is not there or not JSON, so that each complaint can name what lacks."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}
