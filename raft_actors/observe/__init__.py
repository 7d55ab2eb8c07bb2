"""What is seen of nodes from outside: traces, and the diagrams drawn from them."""
