"""The words of a column's name, however it joins them."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")


def name_words(name: str) -> str:
    """The name's words in lower case, joined: `_first_name_` for `firstName`, `First name` and `first-name`."""
    plain = unicodedata.normalize("NFKD", name[:300])
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return "_" + "_".join(word.lower() for word in _WORD.findall(plain)) + "_"
