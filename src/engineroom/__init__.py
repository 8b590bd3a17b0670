"""Engineroom: rooms where people and programs work on the same document."""

__version__ = "0.1.0"
