"""Rounds in which a tuned model writes the next data set, with monitors of collapse. See `loop`."""
