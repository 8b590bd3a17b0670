"""Bytes to messages and back, one module a dialect.

Nothing here does I/O: no asyncio, no clock, no logging, no randomness. Whatever a client sends becomes a
message or a `ProtocolError`.
"""
