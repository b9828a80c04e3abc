"""
The byte-level test vectors that all tests of the wire format share.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _all() -> list[dict[str, Any]]:
    text = Path(__file__).with_name("vectors.json").read_text()
    cases: list[dict[str, Any]] = json.loads(text)["vectors"]
    return cases


def vectors(category: str) -> list[dict[str, Any]]:
    """
    @return: the vectors of a category, for example C{"chunk-read"}.
    """
    return [case for case in _all() if case["category"] == category]
