"""Tar files: headers, a strict parser, compressed input, the samples of a WebDataset shard, and output bytes.

Imports: only the errors, uids and stamps at the root of ``lib``. Start reading at ``shard_samples``, which
uses ``parser`` and ``reader``; ``writer`` is the way out.
"""
