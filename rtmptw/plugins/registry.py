"""
The sinks and sources that are installed: Twisted plugins by their type word.
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

#: Among the schemes of a plugin: it takes the URLs that no other does, and files.
ANY_SCHEME = "*"


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
    known = [plugin.sinkType for plugin in plugins]
    raise UsageError(
        f"there is no sink {sinkType!r}; there are: {', '.join(known)}"
        f"{didYouMean(sinkType, known)}"
    )


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


def sourcePlugins() -> list[IFrameSourcePlugin]:
    """
    @return: the plugins of all sources that are installed, by type word.
    """
    return sorted(getPlugins(IFrameSourcePlugin), key=lambda plugin: plugin.sourceType)


def sourcePlugin(sourceType: str) -> IFrameSourcePlugin:
    """
    @return: the plugin of a type word.

    @raise UsageError: if there is none.
    """
    plugins = sourcePlugins()
    for plugin in plugins:
        if plugin.sourceType == sourceType:
            return plugin
    known = [plugin.sourceType for plugin in plugins]
    raise UsageError(
        f"there is no source {sourceType!r}; there are: {', '.join(known)}"
        f"{didYouMean(sourceType, known)}"
    )


def sourceFactory(description: str) -> IFrameSourceFactory:
    """
    @param description: C{TYPE} or C{TYPE:ARGUMENTS}, as of C{--source}.
    @return: the factory it describes.

    @raise UsageError: with one sentence, if it describes none.
    """
    sourceType, _, argstring = description.partition(":")
    return sourcePlugin(sourceType).sourceFor(argstring)


def pullFactory(text: str, onDemand: bool = False) -> IFrameSourceFactory:
    """
    Let a source pull a URL: the one that takes its scheme.

    @param text: C{URL[=APP/NAME]} or C{URL#as=APP/NAME}, perhaps with more options of
        that source; without a name, the stream is called here what it is called there.
        In a URL with a query each C{=} belongs to the query, so there only the second
        form will do.
    @param onDemand: whether to pull only while somebody plays it.

    @raise UsageError: with one sentence.
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
        raise UsageError("A stream to pull needs a URL: URL, or URL=APP/NAME.")
    return _pluginForURL(url).sourceFor(f"{url}#{'&'.join(options)}")


def _pluginForURL(url: str) -> IFrameSourcePlugin:
    plugins = sourcePlugins()
    scheme = url.partition("://")[0].lower() if "://" in url else ANY_SCHEME
    for wanted in (scheme, ANY_SCHEME):
        for plugin in plugins:
            if wanted in plugin.schemes:
                return plugin
    raise UsageError(f"no source that is installed pulls {scheme}://")
