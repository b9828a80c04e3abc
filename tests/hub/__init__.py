"""
Tests of L{rtmptw.hub}.
"""

import tests.profile  # noqa: F401
