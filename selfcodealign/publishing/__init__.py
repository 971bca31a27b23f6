"""Bring a run's data set or a tuned model to the Hugging Face hub: what goes, its card, and the upload."""
