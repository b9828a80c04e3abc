"""
Tests of L{rtmptw.fmp4}.
"""

import tests.profile  # noqa: F401
