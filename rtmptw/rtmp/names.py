"""
Splits what a client calls its stream into an application, a name and a query.

OBS sends the whole path of its URL as the application, FFmpeg the first one or two
parts. The query is on the application, the URL or the name, wherever the user typed
it.
"""

#: The instance every application has when none is named (Flash Media Server).
_DEFAULT_INSTANCE = "_definst_"
#: Maximum length of a name: it is used in file names, logs and web pages. Keys can
#: be signed tokens of more than a thousand characters.
MAX_NAME = 2048


def splitApplication(app: str, url: str) -> tuple[str, str]:
    """
    @param app: C{app} of the connect command.
    @param url: its C{tcUrl}.
    @return: the application without leading and trailing slashes and default
        instance; and the query found on it, or else on the URL.
    """
    app, _, query = app.partition("?")
    parts = [part for part in app.split("/") if part]
    if parts and parts[-1] == _DEFAULT_INSTANCE:
        del parts[-1]
    if not query:
        query = url.partition("?")[2]
    return printable("/".join(parts)), query


#: FFmpeg and Flash put this before the name of an MP4 file.
_FILE_PREFIX = "mp4:"
#: FFmpeg omits the first; the keys of encoders can have either.
_FILE_SUFFIXES = (".flv", ".mp4")


def splitStream(name: str) -> tuple[str, str]:
    """
    @param name: the stream name of a publish or play command.
    @return: the name without query, leading and trailing slashes and C{mp4:}; and
        the query.
    """
    name, _, query = name.partition("?")
    return printable(name.removeprefix(_FILE_PREFIX).strip("/")), query


def otherNames(name: str) -> tuple[str, ...]:
    """
    @param name: the stream name that a player has requested.
    @return: other names it may be published under: for some programs C{cam.flv} and
        C{cam.mp4} are the same as C{cam}.
    """
    for suffix in _FILE_SUFFIXES:
        if name.endswith(suffix):
            return (name.removesuffix(suffix),)
    return tuple(name + suffix for suffix in _FILE_SUFFIXES)


def printable(text: str) -> str:
    """
    Percent-escape what must not appear in a log line: control characters, and bytes
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
