"""
The exceptions of rtmptw. Their types say whose fault it is.
"""


class ProtocolError(Exception):
    """
    A violation of RTMP. Only the two subclasses are raised.
    """


class LocalProtocolError(ProtocolError):
    """
    The caller asked for something that RTMP, or the state of the connection, does not
    allow. This is a bug in the caller.
    """


class RemoteProtocolError(ProtocolError):
    """
    The peer sent something that RTMP does not allow, or more than we accept.

    @ivar label: a short fixed name for this kind of error, such as
        C{"message-too-large"}; for counters and tests.
    """

    def __init__(self, label: str, message: str) -> None:
        super().__init__(message)
        self.label = label


class SinkError(Exception):
    """
    A sink cannot do its work; the message is for the operator.
    """


class StartError(Exception):
    """
    The server cannot start; the message is for the operator.
    """


class NotAllowed(Exception):
    """
    Raised by an authorizer to reject a request.

    @ivar code: the NetStream or NetConnection code that the peer gets.
    @ivar description: the sentence that its user reads.
    """

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
