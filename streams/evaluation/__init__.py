"""`evaluate`: what the detectors are worth on labelled data. Measures; never decides, and nothing that runs live imports it."""
