"""
Makes a L{Config} of the command line and the configuration file.
"""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from twisted.python.usage import UsageError

from rtmptw.app.service import Config
from rtmptw.app.settings import SETTINGS, Setting
from rtmptw.plugins.values import didYouMean


def readFile(path: str) -> Mapping[str, Any]:
    """
    @param path: a TOML file; its keys are the names of settings.

    @raise UsageError: with one sentence, if it cannot be read or has an unknown key.
    """
    try:
        with open(path, "rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"--config={path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config={path} is not TOML: {error}") from error
    known = {setting.name for setting in SETTINGS}
    for name in values:
        if name not in known:
            raise UsageError(
                f"--config={path}: there is no setting {name!r}; the settings are: "
                f"{', '.join(sorted(known))}{didYouMean(name, known)}"
            )
    return values


def configFrom(
    values: Mapping[str, Any], settings: Sequence[Setting] = SETTINGS
) -> Config:
    """
    @param values: the values by setting name: texts, or numbers and booleans from TOML;
        lists of them for repeatable settings.

    @raise UsageError: with one sentence, if a value is not valid.
    """
    config = Config()
    for setting in settings:
        if setting.name in values:
            value = _valueOf(setting, values[setting.name])
            for place in setting.places:
                put = value if place.of is None else place.of(value)
                config = _placed(config, place.path, put, place.adds)
    _checkStreams(config)
    return config


def _valueOf(setting: Setting, said: Any) -> Any:
    """
    @return: the value; a tuple of values if the setting is repeatable.
    """
    try:
        if not setting.isRepeatable:
            return setting.kind(said)
        # A file may give a single value instead of a list.
        return tuple(map(setting.kind, said if isinstance(said, list) else [said]))
    except ValueError as error:
        raise UsageError(f"--{setting.name}: {error}") from error


def _placed(whole: Any, path: str, value: Any, adds: bool) -> Any:
    """
    @return: a copy with the value at this attribute path.
    """
    name, _, rest = path.partition(".")
    before = getattr(whole, name)
    if rest:
        value = _placed(before, rest, value, adds)
    elif adds:
        value = before + value
    return replace(whole, **{name: value})


def _checkStreams(config: Config) -> None:
    """
    @raise UsageError: if two sources would publish the same stream.
    """
    counts = Counter(source.stream for source in config.sources if source.stream)
    for stream, count in counts.items():
        if count > 1:
            raise UsageError(
                f"--pull, --pull-on-demand, --source: two of them publish {stream}"
            )
