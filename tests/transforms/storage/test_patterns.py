import os

import pytest

from transforms.lib.errors import InputError
from transforms.storage import filesystem, patterns


def test_braces_and_manifests_expand(tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text("\ufeff# comment\n\n x.tar \ny.tar\n")
    assert patterns.expand(["{08..11}.tar", f"@{listing}", f"@file://{listing}"]) == [
        "08.tar", "09.tar", "10.tar", "11.tar", "x.tar", "y.tar", "x.tar", "y.tar",
    ]  # fmt: skip


def test_a_folder_that_leads_back_up_is_walked_once(tmp_path):
    filesystem.write_atomic(f"{tmp_path}/a/0.tar", b"x")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    found = [info.uri.removeprefix(f"{tmp_path}/") for info in filesystem.match([f"{tmp_path}/**/*.tar"])[0]]
    assert found == ["a/0.tar", "b/0.tar"]
    assert len(patterns.distinct(filesystem.match([f"{tmp_path}/**/*.tar"])[0])) == 1


def test_a_link_to_nothing_is_said(tmp_path):
    (tmp_path / "0.tar").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=r"--input cannot be listed: .*0\.tar"):
        patterns.match([f"{tmp_path}/*.tar"])


def test_what_is_deleted_is_never_a_glob(tmp_path):
    for name in ("run[1].tar", "run1.tar", "x"):
        filesystem.write_atomic(f"{tmp_path}/{name}", b"")
    filesystem.delete([f"{tmp_path}/run[1].tar", f"{tmp_path}/*"])
    assert sorted(os.listdir(tmp_path)) == ["run1.tar", "x"]
