"""The parts of bench_vs_pytorch.py: the processes that it starts, and what it measures in them."""
