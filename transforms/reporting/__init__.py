"""What a shard gives to the report: counts of its columns, samples drawn from it, and their pictures.

Imports: ``lib``, ``outputs``, ``rows``, ``storage``, ``workers``. Start reading at ``survey_shard``.
"""
