"""Arms of one recipe, or generators and students: run once what they share, tune and score each. See `experiment`."""
