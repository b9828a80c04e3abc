"""
The server's answers: functions that make a command message from the facts.
"""

from rtmptw.rtmp.amf import UNDEFINED, AMFObject
from rtmptw.rtmp.conversation import CAN_FORWARD, CAPABILITIES
from rtmptw.rtmp.message import Command
from rtmptw.rtmp.names import printable

#: Properties of connect: a client that supports Enhanced RTMP sends any of these.
_ENHANCED = ("fourCcList", "capsEx", "videoFourCcInfoMap")


def information(level: str, code: str, description: str) -> AMFObject:
    """
    @return: the information object of a status. It is an object, never an ECMA array
        (FFmpeg does not read those), and always has a description.
    """
    return AMFObject([("level", level), ("code", code), ("description", description)])


def status(code: str, description: str, level: str) -> Command:
    """
    @return: an onStatus command, for a message stream.
    """
    return Command("onStatus", 0.0, (None, information(level, code, description)))


def notice(name: str, code: str, description: str) -> Command:
    """
    @return: C{onFCPublish} or a similar command, in the form SRS sends it.
    """
    return Command(
        name, 0.0, (None, AMFObject([("code", code), ("description", description)]))
    )


def connected(transactionID: float, properties: AMFObject) -> Command:
    """
    @param properties: the command object of the client's connect.
    @return: the answer to a connect that is accepted.
    """
    success = information(
        "status", "NetConnection.Connect.Success", "Connection succeeded."
    )
    success.properties.append(("objectEncoding", 0.0))
    if any(properties.get(name) is not None for name in _ENHANCED):
        any4 = AMFObject([("*", CAN_FORWARD)])
        success.properties += [
            ("fourCcList", ["*"]),
            ("videoFourCcInfoMap", any4),
            ("audioFourCcInfoMap", any4),
            ("capsEx", CAPABILITIES),
        ]
    ours = AMFObject([("fmsVer", "FMS/3,0,1,123"), ("capabilities", 31.0)])
    return Command("_result", transactionID, (ours, success))


def refused(transactionID: float, code: str, description: str) -> Command:
    """
    @return: the answer to a call that is rejected.
    """
    return Command(
        "_error", transactionID, (None, information("error", code, description))
    )


def unknown(transactionID: float, name: str) -> Command:
    """
    @return: the answer to a command that we do not know.
    """
    return refused(
        transactionID,
        "NetConnection.Call.Failed",
        f"The command {printable(name[:64])} is not supported.",
    )


def streamCreated(transactionID: float, streamID: int) -> Command:
    """
    @return: the answer to createStream.
    """
    return Command("_result", transactionID, (None, float(streamID)))


def streamLength(transactionID: float) -> Command:
    """
    @return: the answer to getStreamLength: 0, because a live stream has no length.
    """
    return Command("_result", transactionID, (None, 0.0))


def politeness(transactionID: float) -> Command:
    """
    @return: the answer to releaseStream, FCPublish and similar commands. No client
        needs it.
    """
    return Command("_result", transactionID, (None, UNDEFINED))
