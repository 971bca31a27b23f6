"""`python -m selfcodealign` is the command line."""

from selfcodealign.cli import main

main()
