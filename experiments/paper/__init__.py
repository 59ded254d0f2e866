"""The paper's tables and figures, one file each: a claim, cells in the paper's words, what it shows."""
