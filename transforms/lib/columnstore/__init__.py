"""The column store: the schema of each column set, row-aligned Parquet files, and files that point to another one.

Imports: nothing. Start reading at ``columns``.
"""
