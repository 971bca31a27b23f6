"""What arms tell about each other: statistics over tasks and seeds, published numbers, table, page. See `table`."""
