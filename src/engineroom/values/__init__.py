"""The program's side of values: how a room's programs read, set and watch them."""
