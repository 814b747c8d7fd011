"""What is unusual: pure maths over numbers and labels.

Knows nothing of money, exchanges or Kafka; imports numpy, numba and river only. Called by `monitor.scoring`.
"""
