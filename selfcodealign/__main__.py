"""Run the command line with `python -m selfcodealign`."""

from selfcodealign.cli import main

main()
