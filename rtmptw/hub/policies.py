"""
Selects the kind of backlog for a sink.
"""

from collections.abc import Callable

from rtmptw.delivery import Delivery, Policy
from rtmptw.hub.backlog import Backlog, DisconnectBacklog, LosslessBacklog
from rtmptw.hub.lag import Lag
from rtmptw.hub.ledger import Ledger
from rtmptw.hub.selection import Selection
from rtmptw.hub.skipping import KeyframeBacklog, LatestBacklog
from rtmptw.keyframes import LeadingTrack


def backlogFor(
    delivery: Delivery,
    ledger: Ledger,
    seconds: Callable[[], float],
    leading: LeadingTrack,
    selection: Selection,
    lag: Lag,
) -> Backlog:
    """
    @param delivery: the sink's policy and limits.
    @return: a backlog with this policy; see its class for the other arguments.
    """
    policy = delivery.policy
    if policy is Policy.LOSSLESS:
        return LosslessBacklog(delivery, ledger, seconds)
    if policy is Policy.DISCONNECT:
        return DisconnectBacklog(delivery, ledger, seconds)
    if policy is Policy.LATEST:
        return LatestBacklog(delivery, ledger, seconds, leading, selection, lag)
    return KeyframeBacklog(delivery, ledger, seconds, leading, selection, lag)
