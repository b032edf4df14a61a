"""``python -m ganrun``."""

from ganrun.cli import main

main()
