"""Pools whose members have other names than jpg and txt, lists of captions, and pools of images alone."""

import io
import json

import pyarrow.parquet as pq
import pytest
import webdataset

from tests.conftest import picture
from transforms.lib.tar.shard_samples import read_samples
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

CURATE = ["--recipe", "no_filter", "--max_reject_fraction", "0"]


def pool(folder, members):
    """Writes members, name -> data, as one shard; returns its address."""
    folder.mkdir()
    data = b"".join(write_member(name, content) for name, content in members.items()) + END_OF_ARCHIVE
    (folder / "0.tar").write_bytes(data)
    return folder / "0.tar"


def index(out):
    return pq.read_table(out / "columns/index/0.parquet").to_pylist()


def loaded(out):
    """Returns the captions that open_clip's loader gets."""
    loader = webdataset.WebDataset(str(out / "shards/00000000.tar"), shardshuffle=False)
    return sorted(text for _, text in loader.decode("pilrgb").to_tuple("jpg;png;jpeg;webp", "txt"))


def pairs(image, caption, kind="JPEG"):
    """Returns four pairs under names with the key as ``{}``."""
    found = {}
    for n in range(4):
        found |= {image.format(n): picture(n, kind), caption.format(n): f"thing {n}".encode()}
    return found


@pytest.mark.parametrize(
    ("members", "flags", "noticed"),
    [
        (pairs("s{}.input.jpg", "s{}.outputs.txt"), [], "caption_member,image_member"),
        (pairs("s{}.img", "s{}.cap", "PNG"), [], "caption_member,image_member"),
        (pairs("s{}.IMG", "s{}.CAP", "PNG"), ["--image_member", "IMG", "--caption_member", "CAP"], ""),
        (pairs("22.0{}.png", "22.0{}.txt", "PNG"), [], "dotted_key"),
        (
            {f"s{n}.{name}": data for n in range(4) for name, data in
             {"jpg": picture(9), "real.jpg": picture(n), "txt": b"no", "alt.txt": f"thing {n}".encode()}.items()},
            ["--image_member", "real.jpg", "--caption_member", "alt.txt"],
            "",
        ),
    ],
    ids=["parts", "imgcap", "upper case", "dots", "named"],
)  # fmt: skip
def test_pairs_under_other_names_are_scored_and_come_out_under_usual_ones(
    winnow, tmp_path, tiny_network, members, flags, noticed
):
    tar, out = pool(tmp_path / "pool", members), tmp_path / "out"
    code, _, stderr = winnow(
        "curate", "--input", tar, "--output", out, "--model", f"tiny={tiny_network}", *CURATE, *flags
    )
    assert code == 0, stderr
    assert {(row["status"], row["notices"]) for row in index(out)} == {("ok", noticed)}
    assert loaded(out) == [f"thing {n}" for n in range(4)]
    shard = (out / "shards/00000000.tar").read_bytes()
    images = {
        next(data for name, data in s.members.items() if name in ("jpg", "png"))
        for s in read_samples(io.BytesIO(shard))
    }
    assert images == {data for data in members.values() if data[:1] in b"\xff\x89" and data != picture(9)}
    assert winnow("verify", "--output", out)[0] == 0


def test_a_pool_whose_pairs_do_not_match_is_told_what_its_members_are(winnow, tmp_path, tiny_network):
    members = {f"s{n}.{name}": picture(n) for n in range(3) for name in ("left.jpg", "right.jpg")}
    members["a.jpg"] = picture(1)
    tar = pool(tmp_path / "pool", members)
    flags = ["--input", tar, "--model", f"tiny={tiny_network}"]
    code, _, stderr = winnow("score", "--output", tmp_path / "out", *flags)
    assert code == 0
    assert "image_missing, for example in 0: several images, members: left.jpg, right.jpg; name the member" in stderr
    assert (
        "caption_missing, for example in 0: neither a .txt nor a .json member; members: jpg; name the member" in stderr
    )
    code, _, stderr = winnow("score", "--output", tmp_path / "none", *flags, "--image_member", "picture")
    assert code == 2
    assert "--image_member picture); its members are jpg, left.jpg, right.jpg" in stderr


def scores(out):
    return pq.read_table(out / "columns/tiny/0.parquet")["score"].to_pylist()


def test_the_best_of_several_captions_is_the_one_that_the_first_network_scores_highest(winnow, tmp_path, tiny_network):
    texts = ["a red boat", "seven green hills", "nothing at all"]
    lists, single = {}, {}
    for n, captions in enumerate((texts, texts[::-1], ["one"])):
        lists |= {f"s{n}.jpg": picture(0), f"s{n}.json": json.dumps({"caption": captions}).encode()}
    for n, caption in enumerate(texts):
        single |= {f"s{n}.jpg": picture(0), f"s{n}.txt": caption.encode()}
    model = ["--model", f"tiny={tiny_network}"]
    every, out, best_of = pool(tmp_path / "single", single), tmp_path / "out", pool(tmp_path / "pool", lists)
    assert winnow("score", "--input", every, "--output", tmp_path / "all", *model)[0] == 0
    highest, best = max(zip(scores(tmp_path / "all"), texts, strict=True))
    code, _, stderr = winnow("curate", "--input", best_of, "--output", out, *model, *CURATE, "--captions", "best,keep")
    assert code == 0, stderr
    assert [row["caption"] for row in index(out)] == [best, best, "one"]
    assert scores(out)[:2] == pytest.approx([highest] * 2, abs=1e-6)
    assert {row["notices"] for row in index(out)} == {"caption_list", ""}
    code, _, stderr = winnow("score", "--input", best_of, "--output", out, *model, "--captions", "first")
    assert code == 2
    assert "--captions first is new" in stderr


def test_networks_of_images_alone_need_no_captions(winnow, tmp_path, tiny_network):
    members = {f"n0{k}.{name}": data for k in range(5) for name, data in (("jpg", picture(k % 4)), ("cls", b"1"))}
    tar, out = pool(tmp_path / "pool", members), tmp_path / "out"
    assert winnow("score", "--input", tar, "--output", out, "--model", f"image:{tiny_network}")[0] == 0
    assert {(row["status"], row["caption"]) for row in index(out)} == {("ok", "")}
    assert winnow("dedup", "--output", out, "--by", "exact")[0] == 0
    assert winnow("select", "--output", out, "--recipe", "no_filter")[0] == 0
    assert winnow("reshard", "--output", out)[0] == 0
    with (out / "shards/00000000.tar").open("rb") as file:
        assert {tuple(sample.members) for sample in read_samples(file)} == {("jpg", "cls")}
    code, _, stderr = winnow(
        "score", "--input", tar, "--output", tmp_path / "b", "--model", f"image:{tiny_network}", "--captions", "best"
    )
    assert code == 2
    assert "--captions best needs a network with a score" in stderr
