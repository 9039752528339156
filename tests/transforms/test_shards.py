import pytest
from apache_beam.testing.test_pipeline import TestPipeline as BeamPipeline
from apache_beam.testing.util import assert_that, equal_to

from transforms.lib.errors import InputError
from transforms.shards import ListShards, check_images, find_shards


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
    with pytest.raises(InputError, match=r"none that is read"):
        find_shards([f"{tmp_path}/*"])


SPELLINGS = [
    "{tmp}/pool/*.tar", "{tmp}/./pool/*.tar", "{tmp}/pool/../pool/*.tar", "{tmp}//pool//*.tar", "{tmp}/link/*.tar",
    "file://{tmp}/pool/*.tar", "file://localhost{tmp}/link/*.tar", "{tmp}/pool/", "{tmp}/link//", "@{tmp}/listed",
    "{tmp}/pool/{{0..1}}.tar", "{tmp}/po*/*.tar", "pool/*.tar", "./pool/*.tar", "link/*.tar", "../{name}/pool/*.tar",
]  # fmt: skip


def test_a_pool_is_the_same_however_it_is_spelled(tmp_path, monkeypatch):
    touch(tmp_path, "pool/0.tar", "pool/1.tar")
    (tmp_path / "link").symlink_to(tmp_path / "pool")
    (tmp_path / "listed").write_text("\ufeff" + "".join(f"{tmp_path}/link/{number}.tar\n" for number in (0, 1)))
    monkeypatch.chdir(tmp_path)
    texts = [text.format(tmp=tmp_path, name=tmp_path.name) for text in SPELLINGS]
    plain = find_shards(texts[:1])
    for text in texts:
        shards = find_shards([text])
        names = [shard.name.removeprefix("pool/") for shard in shards]
        assert names == ["0", "1"], text
        both = find_shards([text, texts[0]])
        assert [(s.name, s.uri) for s in both] == [(n.name, s.uri) for n, s in zip(shards, plain, strict=True)], text
    assert find_shards(texts[:11]) == plain


def test_a_pool_that_is_named_relatively_may_move_with_its_folder(tmp_path, monkeypatch):
    touch(tmp_path / "here", "pool/0.tar")
    monkeypatch.chdir(tmp_path / "here")
    before = find_shards(["./pool/*.tar"])
    assert [shard.uri for shard in before] == ["pool/0.tar"]
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    assert find_shards(["pool/*.tar"]) == before


def test_a_linked_shard_is_the_one_that_it_links_to(tmp_path):
    touch(tmp_path, "store/0a1b", "pool/1.tar")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/0.tar").symlink_to(tmp_path / "store/0a1b")
    assert [(s.name, s.uri) for s in find_shards([f"{tmp_path}/hub/*.tar"])] == [("0", f"{tmp_path}/hub/0.tar")]
    (tmp_path / "hub/copy.tar").symlink_to(tmp_path / "pool/1.tar")
    both = find_shards([f"{tmp_path}/hub/copy.tar", f"{tmp_path}/pool/1.tar"])
    assert [shard.uri for shard in both] == [f"{tmp_path}/pool/1.tar"]


def test_two_stars_include_the_top_folder_and_leave_out_what_is_hidden(tmp_path):
    touch(tmp_path, "0.tar", "a/1.tar", "a/b/2.tar", "a/.ipynb_checkpoints/1.tar", ".3.tar", "a/notes.txt")
    lines = []
    shards = find_shards([f"{tmp_path}/**/*"], tell=lines.append)
    assert [shard.name for shard in shards] == ["0", "a/1", "a/b/2"]
    assert len(lines) == 2
    assert "2 hidden shards are left out" in lines[0]
    assert "1 files that are no shards are left out" in lines[1]
    assert [s.name for s in find_shards([f"{tmp_path}/a/.ipynb_checkpoints/*.tar"])] == ["1"]
    assert [s.name for s in find_shards([f"{tmp_path}/.*.tar"])] == [".3"]
    assert [s.name for s in find_shards([f"{tmp_path}/.3.tar"])] == [".3"]


ODD = [
    "laion[0]",
    "a*b",
    "what?",
    "hash#mark",
    "100%",
    "two words",
    "Käse 北京",
    "-dash",
    "{a,b}",
    "[!x]",
    "run[1]/[2]",
]


@pytest.mark.parametrize("name", ODD)
def test_a_literal_name_wins_over_what_it_would_match(tmp_path, name):
    touch(tmp_path, f"{name}.tar", "laion0.tar", "axb.tar", "whatx.tar", "b.tar", "y.tar", "run1/2.tar")
    stem = name.rpartition("/")[2]
    assert [(s.name, s.uri) for s in find_shards([f"{tmp_path}/{name}.tar"])] == [(stem, f"{tmp_path}/{name}.tar")]


@pytest.mark.parametrize("name", ODD)
def test_a_literal_folder_wins_over_what_it_would_match(tmp_path, name):
    touch(tmp_path, f"{name}/0.tar", "laion0/1.tar", "axb/1.tar", "whatx/1.tar", "b/1.tar", "y/1.tar", "run1/2/1.tar")
    (tmp_path / "list").write_text(f"{tmp_path}/{name}/0.tar\n")
    assert [s.name for s in find_shards([f"@{tmp_path}/list"])] == ["0"]
    if "{" not in name:  # braces are expanded first, and so mean folders a and b
        assert [s.name for s in find_shards([f"{tmp_path}/{name}/*.tar"])] == ["0"]


def test_a_name_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a\nb.tar").write_bytes(b"")
    with pytest.raises(InputError, match=r"is no text, or has control characters; rename"):
        find_shards([f"{tmp_path}/*.tar"])


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
    with pytest.raises(InputError, match=r"--target: .*/0.tar is no tar; it begins with"):
        check_images(find_shards([f"{tmp_path}/0.tar"]), "--target")
