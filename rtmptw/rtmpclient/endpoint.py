"""
Endpoints for connecting over plain TCP and over TLS.
"""

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from rtmptw.errors import SinkError
from rtmptw.rtmp.url import RTMPTarget

#: Seconds for looking up the name and connecting.
CONNECT_TIMEOUT = 10.0


def clientEndpoint(
    reactor: Any, target: RTMPTarget, trustRoot: Any = None
) -> IStreamClientEndpoint:
    """
    @param trustRoot: for rtmps, the certificates to trust, from L{trustRootFrom};
        C{None} for those that the system trusts.
    @return: the endpoint to connect to. The name is looked up at each connection.
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
    The same as Twisted's C{wrapClientTLS}, but with a reactor that need not be the
    installed one.
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
    Check that the packages that rtmps needs are installed.

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
    @param path: a PEM file with certificates.
    @return: a trust root that trusts only these certificates.

    @raise SinkError: if TLS is not available or the file cannot be used.
    """
    checkTLS()
    from OpenSSL.crypto import Error
    from twisted.internet.ssl import Certificate, trustRootFromCertificates

    end = b"-----END CERTIFICATE-----"
    try:
        with open(path, "rb") as file:
            pieces = file.read().split(end)[:-1]
        if not pieces:
            raise SinkError(f"{path} contains no certificate in PEM format")
        return trustRootFromCertificates(
            [Certificate.loadPEM(piece + end) for piece in pieces]
        )
    except OSError as error:
        raise SinkError(f"{path} cannot be read: {error.strerror}") from error
    except (Error, ValueError) as error:
        raise SinkError(f"{path} contains no valid certificate") from error
