"""What a run leaves on disk: a folder per stage, filled with shards."""
