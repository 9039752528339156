"""Tar files: headers, a strict parser, compressed input, the samples of a WebDataset shard, and output bytes.

Imports: nothing. Start reading at ``shard_samples``, which uses ``parser`` and ``reader``; ``writer`` is the way out.
"""
