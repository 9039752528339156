import pytest
from apache_beam.testing.test_pipeline import TestPipeline as BeamPipeline
from apache_beam.testing.util import assert_that, equal_to

from transforms.lib.errors import InputError
from transforms.shards import ListShards, check_images, expand_patterns, find_shards


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def test_names_are_paths_below_the_folder_all_patterns_share(tmp_path):
    touch(tmp_path, "a/0.tar", "a/1.tar.gz", "b/0.tar.zst", "b/note.txt")
    assert [s.name for s in find_shards([f"{tmp_path}/a/*.tar*", f"{tmp_path}/b/*"])] == ["a/0", "a/1", "b/0"]
    assert [s.name for s in find_shards([f"{tmp_path}/a/*"])] == ["0", "1"]
    assert [s.name for s in find_shards([f"{tmp_path}/*/*.tar"])] == ["a/0"]


def test_names_stay_when_the_pool_grows_or_moves(tmp_path):
    touch(tmp_path / "here", "1.tar")
    before = find_shards([f"{tmp_path}/here/*.tar"])
    touch(tmp_path / "here", "0.tar", "2.tar")
    assert {s.name for s in before} < {s.name for s in find_shards([f"{tmp_path}/here/*.tar"])}
    (tmp_path / "here").rename(tmp_path / "there")
    assert before[0].name in {s.name for s in find_shards([f"{tmp_path}/there/*.tar"])}


def test_a_shard_named_twice_is_one_shard(tmp_path):
    touch(tmp_path, "0.tar")
    assert len(find_shards([f"{tmp_path}/*.tar", f"{tmp_path}/0.tar"])) == 1


def test_the_stamp_follows_size_and_time(tmp_path):
    import os

    touch(tmp_path, "0.tar")
    (first,) = find_shards([f"{tmp_path}/0.tar"])
    os.utime(tmp_path / "0.tar", (1, 1))
    (second,) = find_shards([f"{tmp_path}/0.tar"])
    assert first.stamp != second.stamp


def test_two_shards_of_one_name_are_refused(tmp_path):
    touch(tmp_path, "0.tar", "0.tar.gz")
    with pytest.raises(InputError, match="would have one name, 0; rename one"):
        find_shards([f"{tmp_path}/*"])


def test_nothing_that_data_says_leads_out_of_the_output_folder(tmp_path):
    touch(tmp_path, "a/0.tar", "b/1.tar")
    listing = tmp_path / "list.txt"
    listing.write_text(f"{tmp_path}/a/0.tar\n{tmp_path}/a/../b/1.tar\n")
    assert all(".." not in shard.name for shard in find_shards([f"@{listing}"]))


def test_every_pattern_without_a_match_is_told(tmp_path):
    touch(tmp_path, "0.tar")
    with pytest.raises(InputError) as caught:
        find_shards([f"{tmp_path}/0.tar", f"{tmp_path}/x*.tar", f"{tmp_path}/y.tar"])
    assert len(caught.value.problems) == 2


def test_files_that_are_no_tars_are_named_as_such(tmp_path):
    touch(tmp_path, "0.zip")
    with pytest.raises(InputError, match=r"none that ends in \.tar"):
        find_shards([f"{tmp_path}/*"])


def test_braces_and_manifests_expand(tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text("# comment\n\n x.tar \ny.tar\n")
    assert expand_patterns(["{08..11}.tar", f"@{listing}"]) == [
        "08.tar", "09.tar", "10.tar", "11.tar", "x.tar", "y.tar",
    ]  # fmt: skip


def test_shards_reach_the_pipeline_whole(tmp_path):
    touch(tmp_path, *(f"{n}.tar" for n in range(20)))
    shards = find_shards([f"{tmp_path}/*.tar"])
    with BeamPipeline(runner="FnApiRunner") as pipeline:
        assert_that(pipeline | ListShards(shards), equal_to(shards))


@pytest.mark.parametrize("pattern", ["{tmp}/none.tar", "{tmp}/note.txt", "@{tmp}/none.txt", "{tmp}/{{a"])
def test_problems_name_the_flag_that_was_wrong(tmp_path, pattern):
    touch(tmp_path, "note.txt")
    with pytest.raises(InputError) as caught:
        find_shards([pattern.format(tmp=tmp_path)], "--downstream")
    assert [line.split()[0] for line in caught.value.problems] == ["--downstream"]
    touch(tmp_path, "0.tar")
    with pytest.raises(InputError, match=r"--target: no sample of the first 1 shards"):
        check_images(find_shards([f"{tmp_path}/0.tar"]), "--target")
