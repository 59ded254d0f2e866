"""Recording the attention of networks, and replacing it."""
