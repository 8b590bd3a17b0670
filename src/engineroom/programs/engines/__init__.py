"""Engines: interpreters that evaluate on request, each a program of its own, described by an engine type."""
