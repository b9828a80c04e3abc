"""
What a client calls its stream, made into an application, a name and a query.

OBS takes all that follows the host as the application, FFmpeg one or two parts of
it; queries appear on the application, the URL or the name, as the user typed them.
"""

#: The instance every application has when none is named (Flash Media Server).
_DEFAULT_INSTANCE = "_definst_"
#: No longer name is taken: it becomes a file's, a log's and a page's. Keys can be
#: signed tokens of more than a thousand characters.
MAX_NAME = 2048


def splitApplication(app: str, url: str) -> tuple[str, str]:
    """
    @param app: C{app} of the connect command.
    @param url: its C{tcUrl}.
    @return: the application without slashes at the ends and default instance; the
        query found on it, or else on the URL.
    """
    app, _, query = app.partition("?")
    parts = [part for part in app.split("/") if part]
    if parts and parts[-1] == _DEFAULT_INSTANCE:
        del parts[-1]
    if not query:
        query = url.partition("?")[2]
    return printable("/".join(parts)), query


#: What FFmpeg and Flash put before the name of a file in MP4.
_FILE_PREFIX = "mp4:"
#: FFmpeg leaves the first away; encoders have either in their keys.
_FILE_SUFFIXES = (".flv", ".mp4")


def splitStream(name: str) -> tuple[str, str]:
    """
    @param name: the stream name of a publish or play command.
    @return: the name without query, slashes at the ends and C{mp4:}, and the query.
    """
    name, _, query = name.partition("?")
    return printable(name.removeprefix(_FILE_PREFIX).strip("/")), query


def otherNames(name: str) -> tuple[str, ...]:
    """
    @param name: of a stream, as somebody asks for it.
    @return: what it may be published as instead: C{cam.flv} and C{cam.mp4} are C{cam}
        for some programs.
    """
    for suffix in _FILE_SUFFIXES:
        if name.endswith(suffix):
            return (name.removesuffix(suffix),)
    return tuple(name + suffix for suffix in _FILE_SUFFIXES)


def printable(text: str) -> str:
    """
    Percent-escape what may not appear in a log line: control characters, and bytes
    that were not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return "".join(
        f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape")
    )
