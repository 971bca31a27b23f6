"""Reports on a run for a person: the funnel, and the story of one row."""
