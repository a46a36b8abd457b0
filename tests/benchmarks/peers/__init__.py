"""What people use today, each as its own documents show it, each a whole command.

`python -m tests.benchmarks.peers.NAME DATA URL --rows N [--ca FILE]` ends when every row is acknowledged and prints how
many were sent. They run in their own virtual environment (constraints.txt); none of them sends the ULID that our
mapping adds to each event, which makes their bodies a tenth smaller.
"""
