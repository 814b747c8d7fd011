"""A small honest exchange and incidents over it: the traffic of the demo, the tests and the benchmark.

Pure and seeded: the same parameters give the same records; no clocks, no environment. `streams.simulate` writes them.
"""
