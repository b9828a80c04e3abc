"""
Tests of L{rtmptw.remux}.
"""

import tests.profile  # noqa: F401
