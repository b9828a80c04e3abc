"""
How hypothesis looks for examples. Imported by the packages that use it, and by nobody
else: the programs that live tests start come from this package too, and need half a
second less without it.
"""

from hypothesis import settings

# A busy machine is no failure: examples may take as long as they need.
settings.register_profile("rtmptw", deadline=None)
settings.load_profile("rtmptw")
