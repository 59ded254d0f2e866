"""What a person sees: the plan, the progress, the tables. Plain lines where there is no terminal."""
