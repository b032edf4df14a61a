"""Reproductions: the claims of the theory and published tables, each compared with our own numbers by one command."""
