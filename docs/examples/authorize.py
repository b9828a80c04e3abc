"""
An authorizer that maps secret stream keys to public names.
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
    Lets everybody who knows a key publish, and everybody play.
    """

    def __init__(self, names: dict[str, str]) -> None:
        """
        @param names: the public names by key.
        """
        self._names = names

    def authorizePublish(self, request: PublishRequested, peer: str) -> PublishPermit:
        """
        @return: a permit for the public name of the key.

        @raise NotAllowed: if the key is unknown.
        """
        name = self._names.get(request.stream)
        if name is None:
            raise NotAllowed("NetStream.Publish.Denied", "Unknown stream key.")
        return PublishPermit("live", name, credentials=request.stream)

    def authorizePlay(self, request: PlayRequested, peer: str) -> PlayPermit:
        """
        @return: a permit for the public name.
        """
        return PlayPermit(request.app, request.stream)
