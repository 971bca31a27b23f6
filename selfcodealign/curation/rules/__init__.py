"""Rules that a seed has to keep, one concern a file. A rule looks at a seed's code and finds a problem, or none."""
