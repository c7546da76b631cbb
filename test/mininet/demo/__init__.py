"""The parts of the demo: the DVD rental, the exact accounts, the live view, and what it recorded about itself."""
