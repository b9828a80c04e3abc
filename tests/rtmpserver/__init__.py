"""
Tests of L{rtmptw.rtmpserver}.
"""

import tests.profile  # noqa: F401
