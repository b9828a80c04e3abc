"""
A whole server in an asyncio program: Twisted's reactor runs in asyncio's loop.

Usage: python tasks.py [ENDPOINT]
"""

import asyncio
import sys

from twisted.internet import asyncioreactor

loop = asyncio.new_event_loop()
asyncioreactor.install(loop)

from twisted.internet import reactor  # noqa: E402 -- after it was installed

from rtmptw import Server  # noqa: E402


async def main(where: str = "tcp:1935") -> None:
    server = Server(reactor, sinks=[])
    port = await server.listen(where).asFuture(loop)
    print(f"listening on port {port.getHost().port}", flush=True)
    stream = await server.whenPublished("live/cam").asFuture(loop)
    count = 0
    async with stream.frames(format="gray") as frames:
        async for _frame in frames:
            count += 1
    print(f"{count} frames", flush=True)
    await server.stop().asFuture(loop)


reactor.startRunning(installSignalHandlers=False)
loop.run_until_complete(main(*sys.argv[1:]))
reactor.stop()
