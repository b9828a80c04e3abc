"""
Fuzzing guided by code coverage: C{python -m tests.fuzz}.
"""
