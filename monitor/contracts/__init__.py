"""The contracts: one file of typed structs per topic, and `topics`, the table that lists them all.

What is here is what others write against: JSON Schema and AsyncAPI are generated from it (`monitor.contracts.schema`).
"""
