"""Beam transforms over WebDataset shards; import the stage you need, nothing is imported here."""
