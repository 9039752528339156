"""How much of a tar is read, as flags say it: of its texts, and of a packed one that is only copied from."""

import gzip
import json

import numpy as np
import pyarrow.parquet as pq

from tests.conftest import make_pool, picture
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_sample
from transforms.lib.uids import pairs, subset, write_subset


def test_a_caption_that_the_index_should_not_hold_rejects_its_sample(winnow, tiny_network, tmp_path):
    long = "word " * 40_000
    samples = []
    for number in range(8):
        text = long if number == 3 else f"thing {number}"
        members = [("jpg", picture(number)), ("txt", text.encode())]
        samples.append(write_sample(f"{number:06d}", members))
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/0.tar").write_bytes(b"".join(samples) + END_OF_ARCHIVE)
    flags = ("score", "--input", f"{tmp_path}/pool/*.tar", "--model", f"net={tiny_network}", "--output")
    assert winnow(*flags, tmp_path / "out")[0] == 0
    rows = pq.read_table(tmp_path / "out/columns/index/0.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["ok"] * 3 + ["caption_too_large"] + ["ok"] * 4
    assert (rows[3]["detail"], rows[3]["caption"]) == ("199999 bytes", "")
    assert winnow(*flags, tmp_path / "more", "--max_caption_bytes", "1000000")[0] == 0
    rows = pq.read_table(tmp_path / "more/columns/index/0.parquet").to_pylist()
    assert {row["status"] for row in rows} == {"ok"}


def test_reshard_of_new_shards_takes_the_limits_of_packed_tars(winnow, tmp_path):
    pool = make_pool(tmp_path / "pool", shards=1, faults=False)
    (pool / "00000.tar.gz").write_bytes(gzip.compress((pool / "00000.tar").read_bytes()))
    (pool / "00000.tar").unlink()
    with (tmp_path / "subset.npy").open("wb") as file:
        write_subset(file, np.sort(subset(pairs([f"{row:032x}" for row in (1, 2, 15)]))))
    flags = ("reshard", "--input", f"{pool}/*.tar.gz", "--subset", tmp_path / "subset.npy")
    flags = (*flags, "--max_reject_fraction", "1")
    assert winnow(*flags, "--output", tmp_path / "whole")[0] == 0
    assert json.loads((tmp_path / "whole/books.json").read_text())["copies"] == 3
    code, _, stderr = winnow(*flags, "--output", tmp_path / "cut", "--max_unpacked_bytes", "30000")
    assert (code, "not one of the 3 uids" in stderr) == (1, True)
    (path,) = (tmp_path / "cut/columns/index").iterdir()
    assert pq.read_table(path)["status"].to_pylist() == ["tar_too_large"]
