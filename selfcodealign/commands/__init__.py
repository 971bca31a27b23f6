"""The commands of the `selfcodealign` command line, one file each; `selfcodealign.cli` puts them together."""
