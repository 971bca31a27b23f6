"""What a larger run will come to, by a pilot: a small run that is kept."""
