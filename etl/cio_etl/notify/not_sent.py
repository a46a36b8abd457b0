"""The one exception of this room."""


class NotSent(Exception):
    """A notice could not be sent; the message says why, without the address and without secrets."""
