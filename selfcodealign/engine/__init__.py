"""The engine that takes rows through stages on this machine."""
