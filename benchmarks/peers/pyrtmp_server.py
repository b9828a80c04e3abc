"""
pyrtmp's own simple server on loopback, without its debug log. With a folder, it records
to FLV, as in its documentation. It needs a Python with pyrtmp::

    python pyrtmp_server.py PORT [FOLDER]
"""

import asyncio
import logging
import os
import sys
from typing import Any

from pyrtmp.flv import FLVFileWriter, FLVMediaType  # type: ignore[import-not-found]
from pyrtmp.rtmp import (  # type: ignore[import-not-found]
    RTMPProtocol,
    SimpleRTMPController,
)


class Recorder(SimpleRTMPController):  # type: ignore[misc]
    """
    Writes each stream to a file.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    async def on_ns_publish(self, session: Any, message: Any) -> None:
        """
        Open the file.
        """
        name = os.path.join(self._folder, f"{message.publishing_name}.flv")
        session.state = FLVFileWriter(output=name)
        await super().on_ns_publish(session, message)

    async def on_video_message(self, session: Any, message: Any) -> None:
        """
        Write the message.
        """
        session.state.write(message.timestamp, message.payload, FLVMediaType.VIDEO)

    async def on_audio_message(self, session: Any, message: Any) -> None:
        """
        Write the message.
        """
        session.state.write(message.timestamp, message.payload, FLVMediaType.AUDIO)


async def main(port: int, folder: str) -> None:
    """
    Serve until the process is killed.
    """
    make = (lambda: Recorder(folder)) if folder else SimpleRTMPController
    server = await asyncio.get_running_loop().create_server(
        lambda: RTMPProtocol(controller=make()), "127.0.0.1", port
    )
    await server.serve_forever()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main(int(sys.argv[1]), *(sys.argv[2:] or [""])))
