"""u2forge."""

__version__ = "0.1.0"
