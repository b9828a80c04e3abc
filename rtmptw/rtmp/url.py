"""
Parses the URL of a stream on an RTMP server, in the same way as FFmpeg.
"""

from dataclasses import dataclass, replace
from urllib.parse import unquote

from rtmptw.rtmp.names import printable

#: The ports to use if the URL has none (FFmpeg uses the same).
DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443}


@dataclass(frozen=True, slots=True)
class RTMPTarget:
    """
    The address of a stream on a server.

    @ivar scheme: C{"rtmp"} or C{"rtmps"}.
    @ivar host: a name or an address, without brackets.
    @ivar port: the port number.
    @ivar app: the application.
    @ivar stream: the stream's name, with its query if it has one. Often a secret.
    @ivar user: empty for none.
    @ivar password: empty for none.
    @ivar authentication: the query appended to the application to authenticate us;
        see L{rtmptw.rtmp.adobe}.
    """

    scheme: str
    host: str
    port: int
    app: str
    stream: str
    user: str = ""
    password: str = ""
    authentication: str = ""

    @classmethod
    def fromURL(cls, url: str) -> "RTMPTarget":
        """
        Parse a URL. The application is the first part of the path, or the first two
        if there are three or more; the rest is the stream's name. (FFmpeg does the
        same, so a URL that has been tried with FFmpeg works.) The query belongs to
        the name.

        @param url: C{rtmp://[USER:PASSWORD@]HOST[:PORT]/APP/NAME[?QUERY]}

        @raise ValueError: if the URL is invalid. The message does not show the URL,
            because it may contain a secret.
        """
        scheme, separator, rest = url.partition("://")
        scheme = scheme.lower()
        if not separator or scheme not in DEFAULT_PORTS:
            raise ValueError("the URL must begin with rtmp:// or rtmps://")
        path, questionMark, query = rest.partition("?")
        authority, _, path = path.partition("/")
        credentials, _, place = authority.rpartition("@")
        user, _, password = credentials.partition(":")
        host, port = _splitPlace(place, DEFAULT_PORTS[scheme])
        parts = [part for part in path.split("/") if part]
        if len(parts) < 2:
            raise ValueError(
                "the URL must name an application and a stream: "
                f"{scheme}://HOST/APP/NAME"
            )
        # A part with a colon belongs to the name, as in mp4:film.
        inApp = 2 if len(parts) > 2 and ":" not in parts[1] else 1
        return cls(
            scheme,
            host,
            port,
            "/".join(parts[:inApp]),
            "/".join(parts[inApp:]) + questionMark + query,
            unquote(user),
            unquote(password),
        )

    @property
    def application(self) -> str:
        """
        The application, as sent with connect.
        """
        return self.app + self.authentication

    @property
    def tcUrl(self) -> str:
        """
        The URL as sent with connect, which is without the stream.
        """
        return f"{self.scheme}://{self._place}/{self.application}"

    @property
    def shown(self) -> str:
        """
        The URL for a log line, without anything that may be secret.
        """
        return printable(f"{self.scheme}://{self._place}/{self.app}")

    @property
    def _place(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"
        )

    def forStream(self, app: str, stream: str) -> "RTMPTarget":
        """
        @return: the same target with C{{app}} and C{{name}} filled in.
        """

        def filled(template: str) -> str:
            # Piece by piece, because the values may contain braces too.
            return app.join(
                part.replace("{name}", stream) for part in template.split("{app}")
            )

        return replace(self, app=filled(self.app), stream=filled(self.stream))

    def authenticatedBy(self, query: str) -> "RTMPTarget":
        """
        @param query: from L{rtmptw.rtmp.adobe}.
        @return: the same target, authenticated with this query.
        """
        return replace(self, authentication=query)

    def withoutSecrets(self, words: str) -> str:
        """
        @param words: a text from the server, or of an error.
        @return: the text for a log line, with the parts of the URL that may be secret
            replaced by asterisks.
        """
        name, _, query = self.stream.partition("?")
        secrets = {self.stream, name, query, self.password}
        # The longest first: it may hold the others.
        for secret in sorted(secrets - {""}, key=len, reverse=True):
            words = words.replace(secret, "***")
        return printable(words)


def _splitPlace(place: str, default: int) -> tuple[str, int]:
    """
    @raise ValueError: if there is no host, or the port is not a port number.
    """
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = place.partition(":")
    if not host:
        raise ValueError("the URL must name a host")
    if not port:
        return host, default
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(
            f"the port must be a number from 1 to 65535, not {port[:16]!r}"
        )
    return host, int(port)
