"""Metadata files as DataComp publishes them: Parquet of its exact schema, and npz beside it."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("uid", pa.string()),
        ("url", pa.string()),
        ("text", pa.string()),
        ("original_width", pa.int64()),
        ("original_height", pa.int64()),
        ("clip_b32_similarity_score", pa.float32()),
        ("clip_l14_similarity_score", pa.float32()),
        ("face_bboxes", pa.list_(pa.list_(pa.float64()))),
        ("sha256", pa.string()),
    ]
)
DIMS = {"b32": 8, "l14": 12}


def rows_of(number, rows, ties=True):
    """Returns the rows of one file: uids with leading zeros, null and empty texts, zero sizes, scores that tie."""
    chance = np.random.default_rng(number)
    uids = [f"{int.from_bytes(chance.bytes(16), 'big') >> (60 if row % 7 == 0 else 0):032x}" for row in range(rows)]
    texts = [None if row % 11 == 0 else "" if row % 11 == 1 else f"a photo of thing {row} é" for row in range(rows)]
    scores = chance.normal(0.2, 0.05, (2, rows)).astype(np.float32)
    if ties:
        scores = np.round(scores, 2)
    return pa.Table.from_pydict(
        {
            "uid": uids,
            "url": [f"https://example.com/{number}/{row}.jpg" for row in range(rows)],
            "text": texts,
            "original_width": [0 if row % 13 == 0 else 100 + 10 * row for row in range(rows)],
            "original_height": [0 if row % 17 == 0 else 300 for row in range(rows)],
            "clip_b32_similarity_score": scores[0],
            "clip_l14_similarity_score": scores[1],
            "face_bboxes": [[[0.1, 0.2, 0.3, 0.4]] if row % 5 == 0 else [] for row in range(rows)],
            "sha256": [chance.bytes(32).hex() for _ in range(rows)],
        },
        schema=SCHEMA,
    )


def unit(number, key, rows):
    """Returns float32 unit rows that hold float16 numbers, as the published arrays do."""
    chance = np.random.default_rng([number, *key.encode()])
    values = chance.normal(size=(rows, DIMS[key[:3]])).astype(np.float32)
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


def write_npz(path, number, rows, **changes):
    """Writes the embeddings of one file, compressed as the published ones are."""
    arrays = {key: unit(number, key, rows) for key in ("b32_img", "b32_txt", "l14_img", "l14_txt")}
    arrays["dedup"] = np.zeros(rows, np.float32)
    arrays |= changes
    np.savez_compressed(path, **{key: values for key, values in arrays.items() if values is not None})
    return arrays


def make_metadata(folder, files=3, rows=90, npz=True, ties=True):
    """Writes the metadata of a pool, its last file in a sub-folder; returns stem -> table."""
    tables = {}
    for number in range(files):
        stem = np.random.default_rng(1000 + number).bytes(16).hex()
        place = folder / "part_1" if number == files - 1 else folder
        place.mkdir(parents=True, exist_ok=True)
        tables[stem] = rows_of(number, rows + number, ties)
        pq.write_table(tables[stem], place / f"{stem}.parquet", row_group_size=40)
        if npz:
            write_npz(place / f"{stem}.npz", number, rows + number)
    return tables
