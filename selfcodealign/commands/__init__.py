"""The commands of the `selfcodealign` command line, one module each; `selfcodealign.cli` collects them."""
