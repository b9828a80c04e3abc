"""
A Python prompt inside the running server, over SSH. This is Twisted's manhole, for the
user that runs the server and nobody else::

    twistd rtmp --manhole=tcp:2222:interface=127.0.0.1
    ssh -p 2222 localhost
    >>> server
    >>> server.stream("live/cam").kick()
"""

import getpass
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.checkers import (
    IAuthorizedKeysDB,
    SSHPublicKeyChecker,
    readAuthorizedKeyFile,
)
from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.manhole import ColoredManhole
from twisted.conch.manhole_ssh import ConchFactory, TerminalRealm, TerminalSession
from twisted.conch.ssh.keys import Key
from twisted.cred.portal import IRealm, Portal
from zope.interface import implementer

#: OpenSSH's list of keys that may log in, in the home of the user that runs the server.
AUTHORIZED_KEYS = Path(".ssh") / "authorized_keys"
#: The server's own key, in the same home. It is made once, so that clients recognize
#: the server.
HOST_KEY = Path(".local") / "state" / "rtmptw" / "manhole_key"


@implementer(IAuthorizedKeysDB)
class _OwnerKeys:
    """
    The keys of the user that runs the server. Nobody else may log in: at the prompt,
    they would be that user.
    """

    def __init__(self, user: str, path: Path) -> None:
        self._user = user.encode()
        self._path = path

    def getAuthorizedKeys(self, avatarId: bytes) -> Iterator[Key]:
        """
        @return: the keys that may log in under this name.
        """
        if avatarId == self._user and self._path.exists():
            with self._path.open("rb") as file:
                yield from readAuthorizedKeyFile(file)


class _Session(TerminalSession):
    """
    A session that tolerates changes of the terminal's size and its end.
    """

    def windowChanged(self, newWindowSize: object) -> None:
        """
        Ignore it: the prompt keeps its width.
        """

    def eofReceived(self) -> None:
        """
        Ignore it: C{closed} follows.
        """


@implementer(IRealm)
class _Realm(TerminalRealm):
    """
    Gives each session its own prompt.
    """

    sessionFactory = _Session

    def __init__(self, namespace: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__()
        self._namespace = namespace

    def chainedProtocolFactory(self) -> ServerProtocol:  # type: ignore[override]
        """
        @return: the terminal with the prompt.
        """
        return ServerProtocol(ColoredManhole, dict(self._namespace()))


def hostKey(path: Path) -> Key:
    """
    @return: the server's key from a file. If there is no file, it is created, readable
        only by its owner.

    @raise OSError: if the file can neither be read nor created.
    @raise ValueError: if it does not contain a key.
    """
    if path.exists():
        data = path.read_bytes()
        try:
            return cast(Key, Key.fromString(data))
        except Exception as error:
            # Conch raises exceptions of many types. Their messages include the data,
            # which may be most of a secret key.
            raise ValueError(f"{path} does not contain a valid key") from error
    key = Key(Ed25519PrivateKey.generate())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_bytes(key.toString("OPENSSH"))
    return key


def manholeFactory(
    namespace: Callable[[], Mapping[str, Any]], home: Path | None = None
) -> ConchFactory:
    """
    @param namespace: returns the variables for the prompt of each session.
    @param home: the folder with the keys, by default the home of the user that runs the
        server.
    @return: a factory of SSH connections to a Python prompt.

    @raise OSError: if the server's key can neither be read nor created.
    @raise ValueError: if its file does not contain a key.
    """
    home = home or Path.home()
    keys = _OwnerKeys(getpass.getuser(), home / AUTHORIZED_KEYS)
    factory = ConchFactory(Portal(_Realm(namespace), [SSHPublicKeyChecker(keys)]))
    key = hostKey(home / HOST_KEY)
    # Conch documents these as bytes, but needs keys.
    factory.publicKeys = cast(Any, {key.sshType(): key.public()})
    factory.privateKeys = cast(Any, {key.sshType(): key})
    return factory
