"""The walls: namespaces, Landlock, system call filter, control group."""
