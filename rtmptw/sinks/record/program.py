"""
A child that writes one container file with FFmpeg::

    python -m rtmptw.sinks.record.program

FFmpeg's muxers get untrusted input, and some end their process because of it; here that
affects nothing else. The program reads its order and the samples from standard input,
and answers on standard output, with the messages of L{rtmptw.sinks.wire}. The server
has already opened the file, and takes care of its lock and its name.
"""

import faulthandler
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rtmptw._pyav.muxing import Muxer
from rtmptw.errors import SinkError
from rtmptw.frames import Codec, FrameKind
from rtmptw.remux.heads import Head, TrackError, TrackKey
from rtmptw.sinks.record.recorder import RecordFile
from rtmptw.sinks.wire import (
    Kind,
    answer,
    jsonMessage,
    message,
    messagesFrom,
    sampleOf,
)


def _write(messages: Iterator[tuple[Kind, bytes]]) -> None:
    _kind, body = next(messages)
    order: dict[str, Any] = json.loads(body)
    heads: dict[TrackKey, Head] = {}
    for kind, track, codec, hasConfig, hasFirst in order["heads"]:
        head = heads[FrameKind(kind), track] = Head(Codec(codec))
        if hasConfig:
            head.config = sampleOf(next(messages)[1])
        if hasFirst:
            head.first = sampleOf(next(messages)[1])
    file = RecordFile(order["descriptor"], order["path"])
    muxer = Muxer(file, order["format"], order["options"], heads, order["base"])
    _say(muxer, file)
    for said, body in messages:
        if said is Kind.SAMPLE:
            muxer.write(sampleOf(body))
        elif said is Kind.FLUSH:
            muxer.flush()
            _say(muxer, file)
        elif said is Kind.FINISH:
            muxer.finish()
            _say(muxer, file)
            return
    # The server has died: complete the file, so that it can be played.
    muxer.finish()


def _say(muxer: Muxer, file: RecordFile) -> None:
    answer(
        1,
        jsonMessage(Kind.WRITTEN, {"counts": asdict(muxer.counts), "size": file.size}),
    )


def main() -> int:
    """
    @return: the exit status.
    """
    faulthandler.enable()
    try:
        _write(messagesFrom(0))
    except StopIteration:
        # The server sent no order.
        return 1
    except TrackError as error:
        kind, track = error.key
        answer(1, jsonMessage(Kind.UNFIT, [int(kind), track, str(error)]))
        return 1
    except (OSError, SinkError) as error:
        why = getattr(error, "strerror", "") or str(error)
        answer(1, message(Kind.FAILED, why.encode("utf-8", "replace")))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
