"""
Tests of L{rtmptw.rtmp}.
"""

import tests.profile  # noqa: F401
