"""
Where to connect, over plain TCP and over TLS.
"""

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from rtmptw.errors import SinkError
from rtmptw.rtmp.url import RTMPTarget

#: Seconds for a name to be looked up and a connection to be made.
CONNECT_TIMEOUT = 10.0


def clientEndpoint(
    reactor: Any, target: RTMPTarget, trustRoot: Any = None
) -> IStreamClientEndpoint:
    """
    @param trustRoot: for rtmps, whose certificates to trust, from
        L{trustRootFrom}; C{None} for those that the system trusts.
    @return: where to connect. The name is looked up at each connection.
    """
    endpoint: Any = HostnameEndpoint(
        reactor, target.host, target.port, timeout=CONNECT_TIMEOUT
    )
    if target.scheme == "rtmps":
        from twisted.internet.ssl import optionsForClientTLS

        options = optionsForClientTLS(target.host, trustRoot=trustRoot)
        endpoint = _TLSEndpoint(reactor, options, endpoint)
    return cast(IStreamClientEndpoint, endpoint)


@implementer(IStreamClientEndpoint)
class _TLSEndpoint:
    """
    As C{wrapClientTLS} of Twisted makes it, but with a reactor that need not be the one
    that is installed.
    """

    def __init__(self, reactor: Any, options: Any, endpoint: Any) -> None:
        self._reactor = reactor
        self._options = options
        self._endpoint = endpoint

    def connect(self, factory: Any) -> "Deferred[Any]":
        """
        @return: fires with the protocol that the factory makes.
        """
        from twisted.protocols.tls import TLSMemoryBIOFactory

        wrapper = TLSMemoryBIOFactory(self._options, True, factory, self._reactor)
        connecting: Deferred[Any] = self._endpoint.connect(wrapper)
        return connecting.addCallback(lambda outer: outer.wrappedProtocol)


def checkTLS() -> None:
    """
    Look whether there is what rtmps needs.

    @raise SinkError: if not.
    """
    try:
        import service_identity  # noqa: F401
        import twisted.internet.ssl  # noqa: F401
    except ImportError as error:
        raise SinkError(
            f"rtmps:// needs TLS ({error}): pip install 'twisted[tls]'"
        ) from error


def trustRootFrom(path: str) -> Any:
    """
    @param path: of a PEM file with certificates.
    @return: what trusts these certificates and no others.

    @raise SinkError: if they cannot be had.
    """
    checkTLS()
    from OpenSSL.crypto import Error
    from twisted.internet.ssl import Certificate, trustRootFromCertificates

    end = b"-----END CERTIFICATE-----"
    try:
        with open(path, "rb") as file:
            pieces = file.read().split(end)[:-1]
        if not pieces:
            raise SinkError(f"{path} holds no certificate in PEM form")
        return trustRootFromCertificates(
            [Certificate.loadPEM(piece + end) for piece in pieces]
        )
    except OSError as error:
        raise SinkError(f"{path} cannot be read: {error.strerror}") from error
    except (Error, ValueError) as error:
        raise SinkError(f"{path} holds no certificate that can be read") from error
