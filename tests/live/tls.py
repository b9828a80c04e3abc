"""
TLS on loopback.
"""

import functools
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.live.programs import need

#: Twisted passes pyOpenSSL objects that pyOpenSSL deprecates.
untroubled = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
#: Runs a test over both transports.
transports = pytest.mark.parametrize(
    "isSecure",
    [
        pytest.param(False, id="rtmp"),
        pytest.param(True, id="rtmps", marks=untroubled),
    ],
)


@functools.cache
def certificate() -> tuple[Path, Path]:
    """
    Make a certificate for localhost, once per test run.

    @return: the paths of the certificate and of its key.
    """
    need("openssl")
    folder = Path(tempfile.mkdtemp(prefix="rtmptw-certificate-"))
    made, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(made)),
        ],
        check=True,
        capture_output=True,
    )
    return made, key
