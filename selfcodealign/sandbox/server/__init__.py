"""The processes that stand ready: a guard, a server that forks one process per program, and its watch."""
