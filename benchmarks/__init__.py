"""What an engineer asks before choosing an engine, measured: `python -m benchmarks` lists the questions."""
