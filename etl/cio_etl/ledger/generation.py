"""What the state knows of a ledger as a finished step left it: which files it has, and what is in them."""

from __future__ import annotations

import json
from dataclasses import asdict

from cio_etl.errors import LedgerDamaged
from cio_etl.model.records import dataclass

FORMAT = 1  # of the files; a newer one is refused


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of a generation."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Generation:
    """The ledger as a finished step left it; the state stores its text."""

    number: int
    salt: int
    belongs_to: str  # digest of destination, operation and subject: another one starts a new ledger
    pieces: tuple[Piece, ...] = ()  # the first is the base; later ones replace its subjects
    parts: tuple[str, ...] = ()  # of the mapping that was sent last
    started_at: str = ""  # of the last run that sent everything; ISO 8601, UTC
    is_whole: bool = True  # False: no step that moved it has sent all of its rows
    subjects: int | None = None  # that the ledger knows; None: nobody has counted them
    values: bool = False  # the files have the texts of parts, too
    format: int = FORMAT

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Generation:
        """Raises StateError for a ledger of a newer version of this program."""
        found = json.loads(text)
        if found["format"] > FORMAT:
            what = f"the ledger was written by a newer version of this program (format {found['format']})"
            raise LedgerDamaged(
                f"upgrade cio-etl on this machine, or {LedgerDamaged.remedy}", place="the state", what=what
            )
        pieces = tuple(Piece(**piece) for piece in found["pieces"])
        return cls(**found | {"pieces": pieces, "parts": tuple(found["parts"])})

    @property
    def rows(self) -> int:
        """Rows of all pieces; a subject may have several."""
        return sum(piece.rows for piece in self.pieces)

    @property
    def base_rows(self) -> int:
        return self.pieces[0].rows if self.pieces else 0

    @property
    def bytes(self) -> int:
        """The size of all pieces on the disk."""
        return sum(piece.bytes for piece in self.pieces)
