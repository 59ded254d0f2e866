"""What the paper's tables and figures show of a store: values beside the printed ones, and the status of each claim."""
