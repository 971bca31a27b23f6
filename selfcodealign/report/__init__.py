"""What a person reads of a run: the funnel, and one row's whole story."""
