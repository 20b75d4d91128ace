"""Configurations from files and `KEY=VALUE` words, and what differs between two of them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import pydantic
import yaml

from distill.configs.config import RunConfig
from icd_mobile.errors import InputError, unknown_name

CONFIGS_DIR = Path(__file__).parent
# What may change when a run goes on: nothing of it moves a weight. Images and caches are known by their contents.
CHANGEABLE = (
    "checkpoint_every_steps",
    "log_every_steps",
    "data.num_workers",
    "data.about",
    "data.licence",
    "data.images",
    "teacher.cache",
)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes `1e-3` for a word; people who write learning rates mean the number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def shipped_configs() -> dict[str, Path]:
    """The recipes of the package, by name."""
    return {path.stem: path for path in sorted(CONFIGS_DIR.glob("*.yaml"))}


def read_config(name_or_path: str, overrides: Sequence[str] = ()) -> RunConfig:
    """A shipped recipe or a file, with `KEY=VALUE` words put over it.

    Raises:
        InputError: no such recipe or file, broken YAML, an unknown key, or a value that does not fit.
    """
    shipped = shipped_configs()
    path = shipped.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        if "/" in name_or_path or path.suffix:
            raise InputError(f"no config at {path}; give a file, or one of {', '.join(shipped)}")
        raise unknown_name("config", name_or_path, shipped)
    values = _parse(path.read_text(encoding="utf-8"), path)
    return _with_overrides(values, overrides, str(path))


def with_overrides(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """`KEY=VALUE` words put over a configuration.

    Raises:
        InputError: as `read_config`.
    """
    return _with_overrides(config.model_dump(mode="json"), overrides, f"recipe {config.name}")


def _with_overrides(values: dict[str, object], overrides: Sequence[str], where: str) -> RunConfig:
    for word in overrides:
        _override(values, word)
    return validated(values, where)


def _parse(text: str, path: Path) -> dict[str, object]:
    try:
        values = yaml.load(text, Loader=_Loader)  # a SafeLoader: no object is made
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML ({' '.join(str(error).split())}); mend it") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} needs keys and values, got {type(values).__name__}; see distill/configs/")
    return values


def _override(values: dict[str, object], word: str) -> None:
    """Put `a.b=value` in place; the numbers of a list are keys too: `losses.0.weight=2`."""
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise InputError(f"an override is KEY=VALUE, got '{word}'; for example optimizer.lr=0.1")
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise InputError(f"the value of {key} is not YAML, got '{text}'; put it in quotes") from error
    *parents, last = key.split(".")
    place: object = values
    for parent in parents:
        if isinstance(place, dict):
            if place.get(parent) is None:
                place[parent] = {}
            place = place[parent]
        else:
            place = _item(place, parent, key)
    if isinstance(place, dict):
        place[last] = value
    elif isinstance(place, list):
        _item(place, last, key)
        place[int(last)] = value
    else:
        raise InputError(f"{key} goes below a value that has no parts; see distill/configs/ for the keys")


def _item(place: object, index: str, key: str) -> object:
    if not isinstance(place, list) or not index.isdecimal() or int(index) >= len(place):
        raise InputError(f"{key} names no entry of a list: '{index}' is not one; entries count from 0")
    return place[int(index)]


def validated(values: dict[str, object], where: str) -> RunConfig:
    """The configuration that the values make.

    Raises:
        InputError: an unknown key, with the closest known one, or a value that does not fit.
    """
    try:
        return RunConfig.model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        keys = [str(part) for part in first["loc"]]
        if first["type"] == "extra_forbidden":
            known = [".".join([*keys[:-1], name]) for name in _fields_at(keys[:-1])]
            raise unknown_name(f"key in {where}:", ".".join(keys), known) from error
        came = "" if first["type"] == "missing" else f", got {first['input']!r}"
        raise InputError(f"{where}: {'.'.join(keys)}: {first['msg']}{came}; see distill/configs/config.py") from error


def _fields_at(keys: list[str]) -> list[str]:
    model: type[pydantic.BaseModel] = RunConfig
    for key in keys:
        annotation = model.model_fields[key].annotation
        if not isinstance(annotation, type) or not issubclass(annotation, pydantic.BaseModel):
            return []
        model = annotation
    return list(model.model_fields)


def config_text(config: RunConfig) -> str:
    """The whole configuration as YAML, defaults written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def differences(one: RunConfig, other: RunConfig) -> list[str]:
    """Dotted keys whose values differ, but for those that move no weight."""
    left, right = dict(_leaves(one.model_dump())), dict(_leaves(other.model_dump()))
    return sorted(
        key for key in left.keys() | right.keys() if left.get(key) != right.get(key) and key not in CHANGEABLE
    )


def recipe_command(config: RunConfig) -> str:
    """The command that makes such a run, with names in the place of paths: it travels in the student's card."""
    shipped = shipped_configs()
    words = [f"python -m distill train --config {config.name}"]
    if config.name in shipped:
        recipe = read_config(config.name)
        leaves = dict(_leaves(config.model_dump()))
        changed = differences(config, recipe)
        if [loss.name for loss in config.losses] != [loss.name for loss in recipe.losses]:
            words.append(shlex.quote(f"losses={json.dumps([loss.model_dump() for loss in config.losses])}"))
            changed = [key for key in changed if not key.startswith("losses.")]
        words += [shlex.quote(f"{key}={without_folder(leaves[key])}") for key in changed if key in leaves]
    return " ".join(words)


def without_folder(value: object) -> str:
    """As YAML reads it back; a path by its last part, because cards travel."""
    return (Path(value).name if "/" in value else value) if isinstance(value, str) else json.dumps(value)


def _leaves(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}{key}.")
    elif isinstance(value, (list, tuple)) and any(isinstance(item, dict) for item in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{prefix}{index}.")
    else:  # a list of names too: overrides reach entries that are there, and a shorter list has fewer
        yield prefix.rstrip("."), value
