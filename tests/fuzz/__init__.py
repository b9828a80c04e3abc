"""
Random input, led by what of the code it reaches: C{python -m tests.fuzz}.
"""
