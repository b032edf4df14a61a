"""Published tables of small experiments, run again."""
