"""The stages of the journey, one file each: what a row is asked, how it is asked, and how the answer is read."""
