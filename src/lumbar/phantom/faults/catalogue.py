"""Breaks the test part of a phantom, as scanners, exporters, disks and spreadsheets do, and keeps a record of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from lumbar.data.tables import write_table
from lumbar.errors import InputError
from lumbar.machine import processes
from lumbar.phantom.faults import exports, files, pixels, tables, tags
from lumbar.phantom.faults.damage import files_of
from lumbar.phantom.faults.tables import SERIES_TABLE, SUBMISSION_TABLE, Tables

FAULTS_STREAM = 7
"""The stream of random numbers under the seed; 0 to 3 are the phantom's own."""
INTACT_SHARE = 0.2
"""Share of studies that stay as they are: what a broken neighbour does to them can then be seen."""
MOST_FAULTS = 3
"""Faults of one study, each in another series."""
RECORD = Path("hidden") / "faults.csv"
"""Where the record lies in a competition's folder."""
FILES, LISTING, STUDY = "files", "listing", "study"
"""What a fault breaks, unless it is a table."""
COLUMNS = ["study_id", "series_id", "fault", "detail", "tell"]
UNREAD = "cannot be read"


@dataclass(frozen=True)
class Fault:
    """One way to break a test set.

    `damage` does it and says in words what it did. `scope` is what it breaks: the `files` of a series, its `listing`,
    the rows of a `study`, or a whole table, by the name of its file. A series must have at least so many `images` and
    a description that starts with `description`. `tell` is what the report of a run must say of it; in it,
    `{detail}` stands for what `damage` said. A `harmless` one changes neither pixels nor places, and may need no word:
    then `tell` is empty.
    """

    scope: str
    damage: Callable[..., str]
    tell: str
    images: int = 1
    description: str = ""
    harmless: bool = False


FAULTS = {
    "truncated_files": Fault(FILES, files.truncate, UNREAD),
    "empty_files": Fault(FILES, files.empty_files, "the file is empty"),
    "text_files": Fault(FILES, files.replace_by_text, "not DICOM"),
    "unknown_syntax": Fault(FILES, files.use_unknown_syntax, UNREAD),
    "no_pixels": Fault(FILES, pixels.take_pixels, UNREAD),
    "short_pixel_data": Fault(FILES, pixels.shorten_pixel_data, UNREAD),
    "long_pixel_data": Fault(FILES, pixels.lengthen_pixel_data, "bytes of pixel data more"),
    "misstated_size": Fault(FILES, pixels.misstate_size, UNREAD),
    "huge_size": Fault(FILES, pixels.claim_huge_size, "expected one grey image"),
    "colour": Fault(FILES, pixels.colour, "expected one grey image"),
    "nan_pixels": Fault(FILES, pixels.write_floats(np.nan, np.inf, -np.inf), "pixels that are no number"),
    "huge_pixels": Fault(FILES, pixels.write_floats(1e30, -1e30), "pixels that are no number"),
    "flat_pixels": Fault(FILES, pixels.flatten, "one grey value only"),
    "padded_border": Fault(FILES, pixels.pad_border(is_tagged=True), "a border of padding"),
    "untagged_border": Fault(FILES, pixels.pad_border(is_tagged=False), "a border of padding"),
    "uncompressed": Fault(FILES, exports.decompress, "", harmless=True),
    "jpeg2000": Fault(FILES, exports.compress_jpeg2000, "compressed pixels (JPEG 2000", harmless=True),
    "no_pixel_spacing": Fault(FILES, tags.remove("PixelSpacing"), "no usable PixelSpacing"),
    "bad_pixel_spacing": Fault(
        FILES,
        tags.put("PixelSpacing", r"0\0", r"-1\1", "wide", "1", r"1e-30\1", r"1e9\1e9"),
        "no usable PixelSpacing",
    ),
    "no_position": Fault(FILES, tags.remove("ImagePositionPatient"), "no usable ImagePositionPatient"),
    "bad_position": Fault(
        FILES,
        tags.put("ImagePositionPatient", r"nan\0\0", r"0\0", r"inf\0\0", r"1e30\0\0"),
        "no usable ImagePositionPatient",
    ),
    "locations_only": Fault(
        FILES, tags.remove_everywhere("ImagePositionPatient"), "stacked in the order of the SliceLocations"
    ),
    "numbers_only": Fault(
        FILES,
        tags.remove_everywhere("ImagePositionPatient", "SliceLocation"),
        "stacked in the order of the instance numbers",
    ),
    "repeated_positions": Fault(FILES, tags.repeat_positions, "where another one lies", images=2),
    "one_position": Fault(FILES, tags.give_one_position, "one ImagePositionPatient for all", images=2),
    "no_orientation": Fault(FILES, tags.remove("ImageOrientationPatient"), "no usable ImageOrientationPatient"),
    "bad_orientation": Fault(
        FILES,
        tags.put(
            "ImageOrientationPatient",
            r"0\0\0\0\0\0",
            r"1\0\0\1\0\0",
            r"nan\0\0\0\1\0",
            r"1\0\0",
            r"1e200\0\0\0\1e200\0",
        ),
        "no usable ImageOrientationPatient",
    ),
    "stretched_orientation": Fault(FILES, tags.stretch_orientation, "not two unit vectors"),
    "turned_block": Fault(FILES, tags.turn_block, "several orientations", images=2),
    "steep_block": Fault(FILES, tags.steepen_block, "several orientations", images=2, description="Axial"),
    "scout_image": Fault(FILES, tags.add_scout, "an image that is not", images=2),
    "coronal_scout": Fault(FILES, tags.add_coronal_scout, "an image that is not", images=2),
    "coronal_series": Fault(FILES, tags.make_coronal, "images, got coronal ones"),
    "mixed_sizes": Fault(FILES, pixels.mix_sizes, "sizes; each keeps its own", images=2),
    "one_slice": Fault(FILES, files.leave_one_slice, "one image only", images=2),
    "no_slice_spacing": Fault(FILES, tags.remove("SpacingBetweenSlices"), "no SpacingBetweenSlices", harmless=True),
    "no_thickness": Fault(FILES, tags.remove("SliceThickness"), "no SliceThickness", harmless=True),
    "no_window": Fault(FILES, tags.remove("WindowCenter"), "no WindowCenter", harmless=True),
    "no_rescale": Fault(FILES, tags.remove_rescale, "no RescaleSlope", images=2),
    "bad_rescale": Fault(FILES, tags.put("RescaleSlope", "nan", "0", "1e30", "steep", "inf"), "senseless RescaleSlope"),
    "no_number": Fault(FILES, tags.remove("InstanceNumber"), "no usable InstanceNumber"),
    "bad_number": Fault(FILES, tags.put("InstanceNumber", "one", "1.5", "99999999999"), "no usable InstanceNumber"),
    "repeated_number": Fault(FILES, tags.repeat_number, "InstanceNumber that another file has", images=2),
    "offset_numbers": Fault(FILES, tags.offset_numbers, "instance numbers from"),
    "copied_file": Fault(FILES, files.copy_file, "a copy of another image"),
    "stray_file": Fault(FILES, files.add_stray_file, "{detail}", harmless=True),
    "upper_case_suffix": Fault(FILES, exports.rename("{stem}.DCM"), "", harmless=True),
    "no_suffix": Fault(FILES, exports.rename("{stem}"), "", harmless=True),
    "other_names": Fault(FILES, exports.rename("IM{number:06}"), "", harmless=True),
    "nested_folder": Fault(FILES, exports.nest_files, "nested", harmless=True),
    "zipped_series": Fault(FILES, exports.zip_series, "", harmless=True),
    "zipped_files": Fault(FILES, exports.zip_files, "in a zip", harmless=True),
    "enhanced_files": Fault(FILES, exports.enhance_files, "", harmless=True),
    "enhanced_series": Fault(FILES, exports.join_frames, "", harmless=True),
    "empty_series": Fault(FILES, files.empty_series, "the series has no DICOM file"),
    "missing_series": Fault(FILES, files.remove_series, "the series does not exist"),
    "blocked_series": Fault(FILES, files.block_series, "the series cannot be listed"),
    "relabelled_sequence": Fault(LISTING, tables.relabel_sequence, "a SeriesDescription of", description="Sagittal"),
    "relabelled_plane": Fault(LISTING, tables.relabel_plane, "images, got"),
    "unlisted_series": Fault(LISTING, tables.unlist_series, "the table of series does not list it"),
    "absent_series": Fault(LISTING, tables.list_absent_series, "{detail}: the series does not exist"),
    "unlisted_study": Fault(STUDY, tables.unlist_study, "no series is listed"),
    "unasked_study": Fault(STUDY, tables.unask_study, "no row of the submission asks for it"),
    "unknown_study": Fault(SUBMISSION_TABLE, tables.ask_unknown_study, "no series is listed"),
    "path_in_rows": Fault(SUBMISSION_TABLE, tables.ask_for_path, "{detail}"),
    "path_in_series": Fault(SERIES_TABLE, tables.list_path, "{detail}"),
    "repeated_rows": Fault(SUBMISSION_TABLE, tables.repeat_rows, "stands there already"),
    "repeated_series": Fault(SERIES_TABLE, tables.repeat_rows, "stands there already"),
    "cut_series": Fault(SERIES_TABLE, tables.cut_row, "values, expected"),
    "open_quotation": Fault(SERIES_TABLE, tables.open_quotation, "a quotation mark without its partner"),
    "reordered_rows": Fault(SUBMISSION_TABLE, tables.reorder_columns, "row_id is not the first column"),
    "reordered_series": Fault(SERIES_TABLE, tables.reorder_columns, "the columns come in another order"),
    "marked_rows": Fault(SUBMISSION_TABLE, tables.add_byte_order_mark, "a byte-order mark"),
    "marked_series": Fault(SERIES_TABLE, tables.add_byte_order_mark, "a byte-order mark"),
    "windows_rows": Fault(SUBMISSION_TABLE, tables.end_lines_as_windows, "Windows line ends"),
    "windows_series": Fault(SERIES_TABLE, tables.end_lines_as_windows, "Windows line ends"),
}
"""Every fault by its name."""


@dataclass(frozen=True)
class _Case:
    """A fault that was dealt: to a series, to a study by one of its series, or to a table."""

    fault: str
    study_id: str
    series_id: str = ""


@dataclass(frozen=True)
class _Listed:
    """A row of the series table, and how many images it has on disk."""

    study_id: str
    series_id: str
    description: str
    images: int


def break_competition(
    root: Path, seed: int, faults: Iterable[str] = tuple(FAULTS), intact_share: float = INTACT_SHARE, jobs: int = -1
) -> pd.DataFrame:
    """Breaks the test studies and tables of a phantom by faults of the given names; same seed, same bytes.

    Every fault is dealt before one is dealt again, those of a table once. Returns, and writes to `hidden/faults.csv`:
    study_id (or the name of a table), series_id, fault, detail, and tell, the words by which a report must name it.
    Raises InputError for an unknown fault, and for a folder that is no phantom or is broken already.
    """
    names = _order(faults)
    _refuse(root)
    rng = np.random.default_rng([seed, FAULTS_STREAM])
    texts = tables.read_tables(root)
    series = _list_series(root, texts)
    if not series:
        raise InputError(f"{root}: expected a phantom with test studies to break")
    cases = [*_deal(series, names, intact_share, rng)]
    cases += [_Case(name, FAULTS[name].scope) for name in names if FAULTS[name].scope in texts]
    details = _damage(root, texts, list(zip(cases, rng.spawn(len(cases)), strict=True)), jobs)
    for name, text in texts.items():
        text.write(root / name)
    record = pd.DataFrame([_record(*made) for made in zip(cases, details, strict=True)], columns=COLUMNS)
    write_table(record, root / RECORD)
    return record


def _order(faults: Iterable[str]) -> list[str]:
    wanted = set(faults)
    if unknown := sorted(wanted - set(FAULTS)):
        raise InputError(f"there is no fault {', '.join(unknown)}; the faults are {', '.join(FAULTS)}")
    return [name for name in FAULTS if name in wanted]


def _refuse(root: Path) -> None:
    """Refuses what may be somebody's data, and what is broken already."""
    if not (root / "hidden").is_dir():
        raise InputError(f"{root}: expected a phantom, with a folder `hidden`; nothing else is ever broken")
    if (root / RECORD).exists():
        raise InputError(f"{root / RECORD}: this phantom is broken already")


def _list_series(root: Path, texts: Tables) -> list[_Listed]:
    return [
        _Listed(study_id, series_id, description, len(files_of(root / "test_images" / study_id / series_id)))
        for study_id, series_id, description in texts[SERIES_TABLE].rows
    ]


def _deal(
    series: Sequence[_Listed], names: Sequence[str], intact_share: float, rng: np.random.Generator
) -> Iterator[_Case]:
    """Deals faults to most of the studies, no two to one series and none beside one of a whole study."""
    names = [name for name in names if FAULTS[name].scope in (FILES, LISTING, STUDY)]
    deck: list[str] = []
    for _, listed in groupby(series, key=lambda series: series.study_id):
        free = list(listed)
        hands = int(rng.integers(1, MOST_FAULTS + 1)) if names and rng.random() >= intact_share else 0
        for hand in range(hands):
            deck = deck or rng.permutation(names).tolist()
            case = next((case for name in deck if (case := _draw(name, free, hand == 0, rng))), None)
            if case is not None:
                yield case
                deck.remove(case.fault)
                free = [series for series in free if series.series_id != case.series_id]
            if case is None or FAULTS[case.fault].scope == STUDY:
                break


def _draw(name: str, free: Sequence[_Listed], is_first: bool, rng: np.random.Generator) -> _Case | None:
    """The fault in one of the series that it can break, if there is one."""
    fault = FAULTS[name]
    fitting = [
        series for series in free if series.images >= fault.images and series.description.startswith(fault.description)
    ]
    if not fitting or (fault.scope == STUDY and not is_first):
        return None
    chosen = fitting[int(rng.integers(len(fitting)))]
    return _Case(name, chosen.study_id, chosen.series_id)


def _damage(root: Path, texts: Tables, dealt: Sequence[tuple[_Case, np.random.Generator]], jobs: int) -> list[str]:
    """What was done in each case. Tables are changed in place and in order, files by several processes."""
    folders = [root / "test_images" / case.study_id / case.series_id for case, _ in dealt]
    work = [
        delayed(FAULTS[case.fault].damage)(folder, rng)
        for (case, rng), folder in zip(dealt, folders, strict=True)
        if FAULTS[case.fault].scope == FILES
    ]
    finished = Parallel(n_jobs=processes(jobs), return_as="generator")(work)
    of_files = iter(tqdm(finished, total=len(work), desc="faults", unit="series"))
    return [
        next(of_files) if FAULTS[case.fault].scope == FILES else _damage_text(texts, case, rng) for case, rng in dealt
    ]


def _damage_text(texts: Tables, case: _Case, rng: np.random.Generator) -> str:
    fault = FAULTS[case.fault]
    if fault.scope in texts:
        return fault.damage(texts[fault.scope], rng)
    return fault.damage(texts, case.study_id, case.series_id, rng)


def _record(case: _Case, detail: str) -> tuple[str, ...]:
    series_id = "" if FAULTS[case.fault].scope == STUDY else case.series_id
    return case.study_id, series_id, case.fault, detail, FAULTS[case.fault].tell.format(detail=detail)
