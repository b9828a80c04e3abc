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
    Lets anyone publish and play under the name they ask for. The query of the URL, if
    any, counts as a publisher's credentials.
    """

    def authorizePublish(self, request: PublishRequested, peer: str) -> PublishPermit:
        """
        @return: a permit, always.
        """
        return PublishPermit(request.app, request.stream, request.query or None)

    def authorizePlay(self, request: PlayRequested, peer: str) -> PlayPermit:
        """
        @return: a permit, always.
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
        # The authorizer may answer now or later, which maybeDeferred's types cannot
        # express.
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
        @return: the refusal to send to the peer. Errors of the authorizer are logged,
            and their details are not sent.
        """
        refusal = failure.value
        if isinstance(refusal, NotAllowed):
            return refusal
        publishes = isinstance(request, PublishRequested)
        self._log.failure(
            # The stream is not logged: its name may be a secret key.
            "{peer}: the authorizer failed, request to {verb} refused",
            failure,
            peer=peer,
            verb="publish" if publishes else "play",
        )
        return NotAllowed(
            "NetStream.Publish.Denied" if publishes else "NetStream.Play.Failed",
            "The server could not authorize the request.",
        )
