"""
The settings of hypothesis. Only the test packages that use hypothesis import this: the
programs that live tests start also come from this package, and start half a second
faster without it.
"""

from hypothesis import settings

# Examples have no time limit, so that a busy machine causes no failures.
settings.register_profile("rtmptw", deadline=None)
settings.load_profile("rtmptw")
