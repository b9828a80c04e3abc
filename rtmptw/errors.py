"""
The errors of rtmptw; each says whose fault it is.
"""


class ProtocolError(Exception):
    """
    RTMP was not spoken as it is defined. Never raised itself: see the two kinds.
    """


class LocalProtocolError(ProtocolError):
    """
    We asked for something that RTMP, or the state of the conversation, does not
    allow. A bug of the caller.
    """


class RemoteProtocolError(ProtocolError):
    """
    The peer sent what RTMP does not allow, or more than we accept.

    @ivar label: a short fixed word for this class of fault, such as
        C{"message-too-large"}; for counters and tests.
    """

    def __init__(self, label: str, message: str) -> None:
        super().__init__(message)
        self.label = label


class SinkError(Exception):
    """
    A sink cannot do what it was asked to; the message is for the operator.
    """


class StartError(Exception):
    """
    The server cannot start; the message is for the operator.
    """


class NotAllowed(Exception):
    """
    Raised by an authorizer: this request is refused.

    @ivar code: the NetStream or NetConnection code the peer gets.
    @ivar description: the sentence its user reads.
    """

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
