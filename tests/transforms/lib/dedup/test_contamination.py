import numpy as np

from transforms.lib.dedup import contamination


def test_every_match_has_all_of_its_fields():
    assert not any(field.nullable for field in contamination.MATCHES)


def test_matches_of_all_shards_are_listed_by_target_the_most_similar_first():
    pairs = np.array([[0, 1], [0, 2], [0, 3]], np.uint64)
    keys = np.array(["a", "b", "c"], object)
    rows, target, cosine = np.arange(3), np.array([1, -1, 0]), np.array([0.9, 0.0, 0.8])
    parts = [
        contamination.packed(contamination.matches(shard, rows, pairs, keys, target, cosine + more))
        for shard, more in (("x", 0.0), ("y", 0.05))
    ]
    found = contamination.gathered(parts)
    assert [(row["target"], row["shard"], row["row"], row["key"]) for row in found.to_pylist()] == [
        (0, "y", 2, "c"),
        (0, "x", 2, "c"),
        (1, "y", 0, "a"),
        (1, "x", 0, "a"),
    ]
