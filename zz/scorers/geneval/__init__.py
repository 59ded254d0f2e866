"""GenEval: its rules, apart from any detector."""
