"""
The server as a Twisted application: twistd -ny server.tac
"""

from twisted.application.service import Application
from twisted.internet import reactor

from rtmptw import Config, RTMPService
from rtmptw.sinks.file.factory import FileSinkFactory

config = Config(
    ports=("tcp:1935",),
    sinks=(("file", FileSinkFactory.fromString("recordings:rotate=3600")),),
    graceTime=10.0,
)
application = Application("rtmptw")
RTMPService(config, reactor).setServiceParent(application)
