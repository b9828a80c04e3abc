"""
Mutation tests: change the code of the core in one place at a time, run its tests, and
report the changes that no test notices::

    python -m tests.mutation --sample 30
    python -m tests.mutation                       # everything: an hour
    python -m tests.mutation rtmptw/hub/gop.py     # one file

The mutations are those of cosmic-ray and two of our own: a forgotten assignment, and a
missing row of a table. C{survivors/} explains the changes that no test can notice.
"""
