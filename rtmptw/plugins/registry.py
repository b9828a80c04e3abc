"""
The installed sinks and sources: Twisted plugins, found by type.
"""

from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from rtmptw.interfaces import (
    IFrameSinkFactory,
    IFrameSinkPlugin,
    IFrameSourceFactory,
    IFrameSourcePlugin,
)
from rtmptw.plugins.arguments import Fragment
from rtmptw.plugins.values import didYouMean

#: In a plugin's schemes: it accepts files, and URLs that no other plugin accepts.
ANY_SCHEME = "*"


def sinkPlugins() -> list[IFrameSinkPlugin]:
    """
    @return: the plugins of all installed sinks, sorted by type.
    """
    return sorted(getPlugins(IFrameSinkPlugin), key=lambda plugin: plugin.sinkType)


def sinkPlugin(sinkType: str) -> IFrameSinkPlugin:
    """
    @return: the plugin of a type.

    @raise UsageError: if there is none.
    """
    plugins = sinkPlugins()
    for plugin in plugins:
        if plugin.sinkType == sinkType:
            return plugin
    known = [plugin.sinkType for plugin in plugins]
    raise UsageError(
        f"there is no sink {sinkType!r}; installed: {', '.join(known)}"
        f"{didYouMean(sinkType, known)}"
    )


def sinkFactory(description: str) -> IFrameSinkFactory:
    """
    @param description: C{TYPE} or C{TYPE:ARGUMENTS}, as in C{--sink}.
    @return: the factory it describes.

    @raise UsageError: with one sentence, if the description is not valid.
    """
    sinkType, _, argstring = description.partition(":")
    return sinkPlugin(sinkType).factoryFor(argstring)


def sinkNames(descriptions: list[str]) -> list[str]:
    """
    @return: the sinks' names for logs and ledgers: the type, which contains no secrets,
        with a number if several have the same type.
    """
    names: list[str] = []
    for description in descriptions:
        sinkType = description.partition(":")[0]
        count = sum(name.partition("#")[0] == sinkType for name in names)
        names.append(f"{sinkType}#{count + 1}" if count else sinkType)
    return names


def sourcePlugins() -> list[IFrameSourcePlugin]:
    """
    @return: the plugins of all installed sources, sorted by type.
    """
    return sorted(getPlugins(IFrameSourcePlugin), key=lambda plugin: plugin.sourceType)


def sourcePlugin(sourceType: str) -> IFrameSourcePlugin:
    """
    @return: the plugin of a type.

    @raise UsageError: if there is none.
    """
    plugins = sourcePlugins()
    for plugin in plugins:
        if plugin.sourceType == sourceType:
            return plugin
    known = [plugin.sourceType for plugin in plugins]
    raise UsageError(
        f"there is no source {sourceType!r}; installed: {', '.join(known)}"
        f"{didYouMean(sourceType, known)}"
    )


def sourceFactory(description: str) -> IFrameSourceFactory:
    """
    @param description: C{TYPE} or C{TYPE:ARGUMENTS}, as in C{--source}.
    @return: the factory it describes.

    @raise UsageError: with one sentence, if the description is not valid.
    """
    sourceType, _, argstring = description.partition(":")
    return sourcePlugin(sourceType).sourceFor(argstring)


def pullFactory(text: str, onDemand: bool = False) -> IFrameSourceFactory:
    """
    Return the factory of a source that pulls a URL, chosen by the URL's scheme.

    @param text: C{URL[=APP/NAME]} or C{URL#as=APP/NAME}, optionally with more options
        of that source. Without a name, the stream keeps its remote name. If the URL has
        a query, every C{=} belongs to the query, so only the second form works.
    @param onDemand: whether to pull only while a client plays the stream.

    @raise UsageError: with one sentence, if the text is not valid.
    """
    url, said = Fragment().cut(text)
    options = [said] if said else []
    if "?" not in url and not any(one.startswith("as=") for one in said.split("&")):
        url, _, local = url.partition("=")
        if local:
            escaped = local.replace("\\", "\\\\").replace("&", "\\&")
            options.append(f"as={escaped}")
    if onDemand:
        options.append("demand=1")
    if not url:
        raise UsageError("A stream to pull needs a URL: URL or URL=APP/NAME.")
    return _pluginForURL(url).sourceFor(f"{url}#{'&'.join(options)}")


def _pluginForURL(url: str) -> IFrameSourcePlugin:
    plugins = sourcePlugins()
    scheme = url.partition("://")[0].lower() if "://" in url else ANY_SCHEME
    for wanted in (scheme, ANY_SCHEME):
        for plugin in plugins:
            if wanted in plugin.schemes:
                return plugin
    raise UsageError(f"no installed source pulls {scheme}:// URLs")
