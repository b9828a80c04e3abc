"""
What was said, on the command line and in a file, made into a L{Config}.
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
    @param path: of a TOML file; its keys are the names of settings.

    @raise UsageError: with one sentence, if it cannot be read, or says what nobody
        knows.
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
                f"--config={path} says {name!r}; there are: {', '.join(sorted(known))}"
                f"{didYouMean(name, known)}"
            )
    return values


def configFrom(
    values: Mapping[str, Any], settings: Sequence[Setting] = SETTINGS
) -> Config:
    """
    @param values: what was said, by the names of settings: texts, or what TOML makes of
        numbers and booleans; lists of them for what is repeatable.

    @raise UsageError: with one sentence, if something of it makes no sense.
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
    @return: the value; a tuple of values if it is repeatable.
    """
    try:
        if not setting.isRepeatable:
            return setting.kind(said)
        # In a file one will do.
        return tuple(map(setting.kind, said if isinstance(said, list) else [said]))
    except ValueError as error:
        raise UsageError(f"--{setting.name}: {error}") from error


def _placed(whole: Any, path: str, value: Any, adds: bool) -> Any:
    """
    @return: a copy with the value at this place.
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
    @raise UsageError: if two sources are to publish one stream.
    """
    counts = Counter(source.stream for source in config.sources if source.stream)
    for stream, count in counts.items():
        if count > 1:
            raise UsageError(
                f"--pull, --pull-on-demand, --source: {stream} is pulled twice"
            )
