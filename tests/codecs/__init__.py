"""
Tests of L{rtmptw.codecs}.
"""

import tests.profile  # noqa: F401
