"""How the monitor meets the world: Kafka, Faust, HTTP, metrics, logs, settings and the command line.

The only package with `await`, clocks, sockets and the environment. Nothing here decides anything about a withdrawal.
"""
