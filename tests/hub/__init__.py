"""
Tests of hub.
"""

import tests.profile  # noqa: F401
