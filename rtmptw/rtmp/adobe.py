"""
Authentication of a publisher: the scheme that Adobe's servers introduced, known to
FFmpeg, OBS and GStreamer as C{authmod=adobe}.

The server rejects connect and says why. The client connects again with its user
name, is rejected again with a challenge, and connects a third time with the
response. The password itself is never sent.
"""

import base64
import hashlib
from collections.abc import Callable
from urllib.parse import quote


def nextAuthentication(
    description: str, user: str, password: str, randomBytes: Callable[[int], bytes]
) -> str | None:
    """
    Return what to append to the application name at the next attempt.

    @param description: the description the server rejected connect with.
    @return: a query with its question mark; C{None} if authentication would not
        help.
    """
    if not user or "authmod=adobe" not in description:
        return None
    said = f"?authmod=adobe&user={quote(user, safe='')}"
    if "code=403 need auth" in description:
        return said
    _, found, query = description.partition("?reason=needauth")
    if not found:
        return None
    # Not URL-encoded: the + and / of base64 are literal.
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
