"""
An authorizer: a secret key stands for a public name.
"""

from zope.interface import implementer

from rtmptw import (
    IStreamAuthorizer,
    NotAllowed,
    PlayPermit,
    PlayRequested,
    PublishPermit,
    PublishRequested,
)


@implementer(IStreamAuthorizer)
class KeysToNames:
    """
    Lets those publish who know a key, and everybody play.
    """

    def __init__(self, names: dict[str, str]) -> None:
        """
        @param names: the public names, by key.
        """
        self._names = names

    def authorizePublish(self, request: PublishRequested, peer: str) -> PublishPermit:
        """
        @return: a permit for the name that the key stands for.

        @raise NotAllowed: if it stands for none.
        """
        name = self._names.get(request.stream)
        if name is None:
            raise NotAllowed("NetStream.Publish.Denied", "This key is not known.")
        return PublishPermit("live", name, credentials=request.stream)

    def authorizePlay(self, request: PlayRequested, peer: str) -> PlayPermit:
        """
        @return: a permit for the public name.
        """
        return PlayPermit(request.app, request.stream)
