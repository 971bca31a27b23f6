"""What a person sees while something long works."""
