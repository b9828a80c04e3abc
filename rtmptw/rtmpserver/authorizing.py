"""
Who may publish and play.
"""

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rtmptw.errors import NotAllowed
from rtmptw.interfaces import IStreamAuthorizer, PlayPermit, PublishPermit
from rtmptw.rtmp.events import PlayRequested, PublishRequested


@implementer(IStreamAuthorizer)
class AllowAll:
    """
    Lets everybody publish under the name they ask for, and play. The query of the
    URL, if there is one, counts as a publisher's credentials.
    """

    def authorizePublish(self, request: PublishRequested, peer: str) -> PublishPermit:
        """
        @return: always a permit.
        """
        return PublishPermit(request.app, request.stream, request.query or None)

    def authorizePlay(self, request: PlayRequested, peer: str) -> PlayPermit:
        """
        @return: always a permit.
        """
        return PlayPermit(request.app, request.stream)


class Deciding:
    """
    Asks the authorizer.
    """

    _log = Logger()

    def __init__(self, authorizer: IStreamAuthorizer) -> None:
        self._authorizer = authorizer

    def decide(
        self, request: PublishRequested | PlayRequested, peer: str
    ) -> "Deferred[Any]":
        """
        @return: fires with the permit, now or later, or fails.
        """
        # They may answer now or later, which the types of maybeDeferred cannot say.
        authorize: Any = (
            self._authorizer.authorizePublish
            if isinstance(request, PublishRequested)
            else self._authorizer.authorizePlay
        )
        return maybeDeferred(authorize, request, peer)

    def refusalOf(
        self, failure: Failure, request: PublishRequested | PlayRequested, peer: str
    ) -> NotAllowed:
        """
        @return: what the peer is told; what is wrong with us is logged, and not told.
        """
        refusal = failure.value
        if isinstance(refusal, NotAllowed):
            return refusal
        publishes = isinstance(request, PublishRequested)
        self._log.failure(
            # Not which stream: the name may be a secret key.
            "{peer}: an error in deciding whether it may {verb}; refused",
            failure,
            peer=peer,
            verb="publish" if publishes else "play",
        )
        return NotAllowed(
            "NetStream.Publish.Denied" if publishes else "NetStream.Play.Failed",
            "The server could not decide.",
        )
