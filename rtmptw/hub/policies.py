"""
Which kind of backlog a sink asks for.
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
    @param delivery: the policy, and its limits.
    @return: what keeps frames waiting by it; for the other arguments see there.
    """
    policy = delivery.policy
    if policy is Policy.LOSSLESS:
        return LosslessBacklog(delivery, ledger, seconds)
    if policy is Policy.DISCONNECT:
        return DisconnectBacklog(delivery, ledger, seconds)
    if policy is Policy.LATEST:
        return LatestBacklog(delivery, ledger, seconds, leading, selection, lag)
    return KeyframeBacklog(delivery, ledger, seconds, leading, selection, lag)
