"""
Tests of L{rtmptw.flv}.
"""

import tests.profile  # noqa: F401
