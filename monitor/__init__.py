"""What we decide: pure state machines and values that an auditor can read alone.

No input or output, no clock, no environment: values in, values out. Imports `detectors` and msgspec; called by `streams`.
"""
