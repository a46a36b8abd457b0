"""Functions that hide a value but let it be compared: digests and masks."""

from __future__ import annotations

from typing import Literal

import polars as pl
from polars_hash import CryptographicHashingNameSpace
from pydantic import SecretStr

from cio_etl.transform.functions.define import function

GROUP = "People's data"


@function(takes=("text",))
def sha256(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """SHA-256 of the text's UTF-8 bytes, 64 hexadecimal digits.

    Ad platforms expect it of a normalised address: `[email, lower, sha256]`.

    >>> "ada" | sha256 -> "fdee430d40bd57deeac186cd9790033d0f06f909a8806e7ce6e717ab7c7d5029"
    """
    digest: pl.Expr = CryptographicHashingNameSpace(value).sha2_256()
    return digest


@function(takes=("text",), shorthand="key")
def hmac(value: pl.Expr, dtype: pl.DataType, *, key: str, secret: SecretStr | None = None) -> pl.Expr:
    """HMAC-SHA256 of the text's UTF-8 bytes under a secret key, 64 hexadecimal digits.

    The key is a reference, `${SHOP_HMAC_KEY}` or `${file:/run/secrets/key}`, never the key itself, and only a run looks
    it up. `check`, `validate`, `preview` and `run --sandbox` use the reference's own text as the key, so that they need
    no secrets; their digests are not those that a run sends.

    >>> "ada" | {hmac: "${SHOP_HMAC_KEY}"} -> "af53fbf73bd6317aed90f1d052aa007d4fcab7f27cf8130b92ab66706ed26b1c"
    """
    with_key = key if secret is None else secret.get_secret_value()

    def digests(column: pl.Series) -> pl.Series:  # the key is not part of the expression, which errors may show
        try:
            return column.to_frame("v").select(CryptographicHashingNameSpace(pl.col("v")).hmac_sha256(key=with_key))[
                "v"
            ]
        except pl.exceptions.PolarsError:
            raise RuntimeError("hmac failed") from None

    return value.map_batches(digests, return_dtype=pl.String, is_elementwise=True)


def _check_mask(*, keep: int = 4, sign: str = "*", **_: object) -> None:
    if not 0 <= keep <= 1_000:
        raise ValueError("'keep' must be from 0 to 1,000")
    if len(sign) != 1:
        raise ValueError("'sign' must be one character")


@function(takes=("text",), shorthand="keep", check=_check_mask)
def mask(
    value: pl.Expr,
    dtype: pl.DataType,
    *,
    keep: int = 4,
    side: Literal["end", "start"] = "end",
    sign: str = "*",
    email: bool = False,
) -> pl.Expr:
    """The text with `sign` in place of all characters except the last `keep` (or the first: `side: start`).

    A text of at most `keep` characters is masked completely. With `email`, the first letter and the domain remain, with
    three signs between them, whatever the length; a text without `@` is masked completely.

    >>> "FR7630006000011234" | mask -> "**************1234"
    >>> "1234" | {mask: 4} -> "****"
    >>> "Lovelace" | {mask: {keep: 1, side: start}} -> "L*******"
    >>> "ada@example.org" | {mask: {email: true}} -> "a***@example.org"
    """
    length = value.str.len_chars()
    whole = value.str.head(0).str.pad_start(length, sign)
    if email:
        shown = value.str.replace(r"(?s)^(.?).*@", f"${{1}}{sign.replace('$', '$$') * 3}@")
        return pl.when(value.str.contains("@", literal=True)).then(shown).otherwise(whole)
    if side == "end":
        shown = value.str.tail(keep).str.pad_start(length, sign)
    else:
        shown = value.str.head(keep).str.pad_end(length, sign)
    return pl.when(length > keep).then(shown).otherwise(whole)
