"""
The server without the system calls that Windows lacks, which include all that macOS
lacks.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_lacking() -> None:
    """
    On such a system a server still records FLV and MP4, relays to another server and
    decodes without losing a frame, and a capture gets every frame. What it cannot do it
    refuses in one sentence.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.lacking", "windows"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    refused = said.pop("refused")
    sent, packets = said["sent"], said["packets"]
    assert packets > 60
    assert said == {
        "sent": sent,
        "packets": packets,
        "file": [sent],
        "mp4": [packets],
        "relayed": [sent],
        "decoded": 25,
        "captured": [25, 25],
        "unfinished": [],
        "recovered": ["busy", "finished", "removed"],
    }
    assert len(refused) == 4
    for sink, sentence in refused.items():
        assert "which this system cannot start" in sentence, sink
    assert "Traceback" not in done.stderr
