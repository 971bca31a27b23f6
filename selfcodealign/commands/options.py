"""What options that several commands have say in their help."""

SANDBOX_HELP = (
    "How programs are walled off: auto takes the strongest way that this machine allows, namespaces or landlock one of "
    "them, unsafe none."
)
