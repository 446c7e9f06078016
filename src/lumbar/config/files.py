"""Configs as files: the YAML that a user writes, and the JSON that a run keeps."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lumbar.config.run import Config
from lumbar.errors import InputError
from lumbar.records import Record, read_record

BASE = "base"
"""The key that names the config, beside this one, whose values hold where this one says nothing."""
SECTIONS = tuple(
    name
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Record)
)
"""The keys that hold sections, which no config can do without: a null would set one back to the defaults, unseen."""
MERGE = "tag:yaml.org,2002:merge"
"""What YAML calls the key `<<`, which may stand in a mapping several times."""


class ConfigError(InputError):
    """A config that is not what it should be; the message names the file and the key."""


class _Loader(yaml.SafeLoader):
    """YAML's own loader keeps the last of two equal keys, and says nothing of the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping as it is written, before `<<` brings in keys that it may well have itself."""
        mapping = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in mapping.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines and key.tag != MERGE:
                raise ConfigError(
                    f"{self.name}: {name}: stands in line {lines[name]} and in line {line}, expected it once"
                )
            lines[name] = line
        return mapping


def read_config(path: Path) -> Config:
    """Reads a YAML config; its `name` is the file's name unless it says another."""
    return check_config(path, read_values(path))


def read_values(path: Path) -> dict[str, Any]:
    """What a YAML config says, with what it takes over from its base; only the bases are checked yet."""
    return _read_with_bases(path, ())


def _read_with_bases(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    values = _read_yaml(path)
    base = values.pop(BASE, None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ConfigError(f"{path}: {BASE}: expected the name of a config beside this one, got {base!r}")
    below = path.parent / base
    if below.resolve() in (path.resolve(), *above):
        raise ConfigError(f"{path}: {BASE}: {base} is built on this config itself")
    if not below.is_file():
        raise ConfigError(f"{path}: {BASE}: there is no {below}")
    inherited = _read_with_bases(below, (*above, path.resolve()))
    check_config(below, inherited)
    return merge({key: value for key, value in inherited.items() if key != "name"}, values)


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such config")
    try:
        with path.open(encoding="utf-8") as file:
            values = _Loader(file).get_single_data() or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, got {type(values).__name__}")
    for section in SECTIONS:
        if section in values and values[section] is None:  # a section whose every line is commented out
            raise ConfigError(f"{path}: {section}: expected its keys, got none; leave it out to change nothing")
    return values


def merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The values with the changes in their place, section by section; null takes a whole section away."""
    merged = dict(values)
    for key, change in changes.items():
        before = merged.get(key)
        if isinstance(before, dict) and change is None:
            del merged[key]
            continue
        merged[key] = merge(before, change) if isinstance(before, dict) and isinstance(change, dict) else change
    return merged


def check_config(path: Path, values: dict[str, Any], section: str = "") -> Config:
    """The config that the values make; ConfigError names `path`, the `section` of it that holds the values, and every
    key that does not fit."""
    try:
        return Config.model_validate({"name": path.stem, **values})
    except ValidationError as error:
        lines = [": ".join([str(path), *_key_of(item, section), _explain(item)]) for item in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _key_of(item: ErrorDetails, section: str) -> list[str]:
    """The key that does not fit; none where several do not fit together, which the message names."""
    key = ".".join(filter(None, (section, *map(str, item["loc"]))))
    return [key] if key else []


def _explain(details: ErrorDetails) -> str:
    if details["type"] == "extra_forbidden":
        return "there is no such key; see src/lumbar/config/ for the keys"
    if isinstance(details["input"], dict):  # a whole section, or all of them
        return details["msg"].removeprefix("Value error, ")
    return f"{details['msg'].removeprefix('Value error, ')}, got {details['input']!r}"


def read_saved_config(path: Path) -> Config:
    """Reads the whole config that a run keeps beside its models as JSON."""
    return read_record(path, Config, "a saved config of this version", ConfigError)
