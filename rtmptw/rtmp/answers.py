"""
What a server answers, as values: from what is known to the message that says it.
"""

from rtmptw.rtmp.amf import UNDEFINED, AMFObject
from rtmptw.rtmp.conversation import CAN_FORWARD, CAPABILITIES
from rtmptw.rtmp.message import Command
from rtmptw.rtmp.names import printable

#: What a client says that knows Enhanced RTMP: any of these.
_ENHANCED = ("fourCcList", "capsEx", "videoFourCcInfoMap")


def information(level: str, code: str, description: str) -> AMFObject:
    """
    @return: the information object of a status: an object, never an ECMA array (FFmpeg
        does not look into those), and always with a description.
    """
    return AMFObject([("level", level), ("code", code), ("description", description)])


def status(code: str, description: str, level: str) -> Command:
    """
    @return: what is new on a message stream.
    """
    return Command("onStatus", 0.0, (None, information(level, code, description)))


def notice(name: str, code: str, description: str) -> Command:
    """
    @return: what C{onFCPublish} and its like say, as SRS says it.
    """
    return Command(
        name, 0.0, (None, AMFObject([("code", code), ("description", description)]))
    )


def connected(transactionID: float, properties: AMFObject) -> Command:
    """
    @param properties: what the client said with connect.
    @return: that its connect is granted.
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
    @return: that a call is refused.
    """
    return Command(
        "_error", transactionID, (None, information("error", code, description))
    )


def unknown(transactionID: float, name: str) -> Command:
    """
    @return: that there is no command of this name.
    """
    return refused(
        transactionID,
        "NetConnection.Call.Failed",
        f"There is no command {printable(name[:64])} here.",
    )


def streamCreated(transactionID: float, streamID: int) -> Command:
    """
    @return: the answer to createStream.
    """
    return Command("_result", transactionID, (None, float(streamID)))


def streamLength(transactionID: float) -> Command:
    """
    @return: the answer to getStreamLength: a live stream has none.
    """
    return Command("_result", transactionID, (None, 0.0))


def politeness(transactionID: float) -> Command:
    """
    @return: the answer to releaseStream, FCPublish and their like. Nobody needs one.
    """
    return Command("_result", transactionID, (None, UNDEFINED))
