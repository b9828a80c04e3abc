"""
How a publisher proves who it is: the dialogue that Adobe's servers began and FFmpeg,
OBS and GStreamer know as C{authmod=adobe}.

The server refuses connect and says why. The client comes again and says its name,
is refused again with a challenge, and comes a third time with the response. The
password itself never travels.
"""

import base64
import hashlib
from collections.abc import Callable
from urllib.parse import quote


def nextAuthentication(
    description: str, user: str, password: str, randomBytes: Callable[[int], bytes]
) -> str | None:
    """
    @param description: the words with which connect was refused.
    @return: what to append to the application next, beginning with a question mark;
        C{None} if the words are a refusal that we can do nothing about.
    """
    if not user or "authmod=adobe" not in description:
        return None
    said = f"?authmod=adobe&user={quote(user, safe='')}"
    if "code=403 need auth" in description:
        return said
    _, found, query = description.partition("?reason=needauth")
    if not found:
        return None
    # Not URL-encoded: base64 comes with its + and /.
    fields = dict(
        field.partition("=")[::2] for field in query.strip(" ]").split("&") if field
    )
    salt, challenge = fields.get("salt", ""), fields.get("challenge", "")
    opaque = fields.get("opaque", "")
    ours = randomBytes(4).hex()
    response = _response(user, password, salt, opaque or challenge, ours)
    said += f"&challenge={ours}&response={response}"
    return f"{said}&opaque={opaque}" if opaque else said


def _response(user: str, password: str, salt: str, theirs: str, ours: str) -> str:
    return _md5(_md5(user + salt + password) + theirs + ours)


def _md5(text: str) -> str:
    digest = hashlib.md5(
        text.encode("utf-8", "surrogateescape"), usedforsecurity=False
    ).digest()
    return base64.b64encode(digest).decode()
