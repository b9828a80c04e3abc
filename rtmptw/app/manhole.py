"""
A Python prompt inside the running server, over SSH: Twisted's manhole, for whoever
runs the server and nobody else::

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

#: Where OpenSSH keeps the keys that may log in, in the home of whoever runs the server.
AUTHORIZED_KEYS = Path(".ssh") / "authorized_keys"
#: Where the server's own key is kept, there too: made once, so that clients know it
#: again.
HOST_KEY = Path(".local") / "state" / "rtmptw" / "manhole_key"


@implementer(IAuthorizedKeysDB)
class _OwnerKeys:
    """
    The keys of the user that the server runs as. Nobody else may log in, whatever keys
    they have: at the prompt they would be that user.
    """

    def __init__(self, user: str, path: Path) -> None:
        self._user = user.encode()
        self._path = path

    def getAuthorizedKeys(self, avatarId: bytes) -> Iterator[Key]:
        """
        @return: the keys that may log in under a name.
        """
        if avatarId == self._user and self._path.exists():
            with self._path.open("rb") as file:
                yield from readAuthorizedKeyFile(file)


class _Session(TerminalSession):
    """
    A terminal that may change its size and go away.
    """

    def windowChanged(self, newWindowSize: object) -> None:
        """
        The prompt wraps as it did.
        """

    def eofReceived(self) -> None:
        """
        C{closed} follows.
        """


@implementer(IRealm)
class _Realm(TerminalRealm):
    """
    Gives each session a prompt of its own.
    """

    sessionFactory = _Session

    def __init__(self, namespace: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__()
        self._namespace = namespace

    def chainedProtocolFactory(self) -> ServerProtocol:  # type: ignore[override]
        """
        @return: the terminal and the prompt in it.
        """
        return ServerProtocol(ColoredManhole, dict(self._namespace()))


def hostKey(path: Path) -> Key:
    """
    @return: the server's key from a file, which is made, for its owner's eyes only, if
        it is not there.

    @raise OSError: if the file can neither be read nor made.
    @raise ValueError: if it holds no key.
    """
    if path.exists():
        data = path.read_bytes()
        try:
            return cast(Key, Key.fromString(data))
        except Exception as error:
            # Conch raises what it likes, with the data in its words, which may be
            # most of a secret key.
            raise ValueError(f"{path} holds no key that can be read") from error
    key = Key(Ed25519PrivateKey.generate())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_bytes(key.toString("OPENSSH"))
    return key


def manholeFactory(
    namespace: Callable[[], Mapping[str, Any]], home: Path | None = None
) -> ConchFactory:
    """
    @param namespace: makes the names at the prompt of each session.
    @param home: where the keys are; the home of the user that the server runs as.
    @return: a factory of SSH connections that end at a Python prompt.

    @raise OSError: if the server's key can neither be read nor made.
    @raise ValueError: if its file holds something else.
    """
    home = home or Path.home()
    keys = _OwnerKeys(getpass.getuser(), home / AUTHORIZED_KEYS)
    factory = ConchFactory(Portal(_Realm(namespace), [SSHPublicKeyChecker(keys)]))
    key = hostKey(home / HOST_KEY)
    # Conch says that these are bytes, and takes keys.
    factory.publicKeys = cast(Any, {key.sshType(): key.public()})
    factory.privateKeys = cast(Any, {key.sshType(): key})
    return factory
