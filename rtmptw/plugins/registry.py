"""
The sinks that are installed: Twisted plugins by their type word.
"""

from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from rtmptw.interfaces import IFrameSinkFactory, IFrameSinkPlugin


def sinkPlugins() -> list[IFrameSinkPlugin]:
    """
    @return: the plugins of all sinks that are installed, by type word.
    """
    return sorted(getPlugins(IFrameSinkPlugin), key=lambda plugin: plugin.sinkType)


def sinkPlugin(sinkType: str) -> IFrameSinkPlugin:
    """
    @return: the plugin of a type word.

    @raise UsageError: if there is none.
    """
    plugins = sinkPlugins()
    for plugin in plugins:
        if plugin.sinkType == sinkType:
            return plugin
    known = ", ".join(plugin.sinkType for plugin in plugins)
    raise UsageError(f"there is no sink {sinkType!r}; there are: {known}")


def sinkFactory(description: str) -> IFrameSinkFactory:
    """
    @param description: C{TYPE} or C{TYPE:ARGUMENTS}, as of C{--sink}.
    @return: the factory it describes.

    @raise UsageError: with one sentence, if it describes none.
    """
    sinkType, _, argstring = description.partition(":")
    return sinkPlugin(sinkType).factoryFor(argstring)


def sinkNames(descriptions: list[str]) -> list[str]:
    """
    @return: what to call the sinks in logs and ledgers: the type word, which holds
        no secrets, with a number if there are several.
    """
    names: list[str] = []
    for description in descriptions:
        sinkType = description.partition(":")[0]
        count = sum(name.partition("#")[0] == sinkType for name in names)
        names.append(f"{sinkType}#{count + 1}" if count else sinkType)
    return names
