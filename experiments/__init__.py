"""One file a figure or table: its claim, its command, its cost."""
