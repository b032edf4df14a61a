"""What goes wrong with a GAN, seen in the numbers that it writes, and told in plain words while it happens."""
