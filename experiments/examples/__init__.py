"""Short programs to start your own from."""
