"""The Python engine: an `Interpreter` object and, apart from it, the loop that serves it to a backend.

Everything in this folder runs inside the program's own process, under any Python from 3.9 up, with the standard
library alone, and as the package `engineroom_engine`: so it imports nothing of Engineroom, and the user's own modules
may have any name.
"""
