"""
Do the tests notice? Changes the code of the core in one place at a time, runs its
tests, and tells which changes none of them has noticed::

    python -m tests.mutation --sample 30
    python -m tests.mutation                       # everything: an hour
    python -m tests.mutation rtmptw/hub/gop.py     # one file

The mutations are those of cosmic-ray, and two of our own: an assignment that is
forgotten, and a row that is missing in a table. C{survivors/} explains those that
no test can notice.
"""
