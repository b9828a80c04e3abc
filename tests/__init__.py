"""
Tests of rtmptw.
"""

from hypothesis import settings

# A busy machine is no failure: examples may take as long as they need.
settings.register_profile("rtmptw", deadline=None)
settings.load_profile("rtmptw")
