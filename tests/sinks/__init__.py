"""
Tests of sinks.
"""

import tests.profile  # noqa: F401
