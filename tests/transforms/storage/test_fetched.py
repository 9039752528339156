import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from transforms.lib.errors import InputError, StoreError
from transforms.storage import fetched, filesystem
from transforms.storage.client import FileInfo
from transforms.storage.local import partial_name


@pytest.fixture
def tmp(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def root(tmp):
    return tmp / f"winnow-fetched-{os.geteuid()}"


def fetch(web, name, data):
    web.upload(name, data)
    return Path(filesystem.fetch(web.uri(f"{name}")))


def test_a_file_is_fetched_once_into_a_folder_of_this_user_alone(web, tmp):
    path = fetch(web, "once.pt", b"weights")
    assert Path(filesystem.fetch(web.uri("once.pt") + "?sig=SECRET")).name == "once.pt"
    node = path.stat().st_ino
    assert filesystem.fetch(web.uri("once.pt")) == str(path)
    assert path.stat().st_ino == node
    assert path.read_bytes() == b"weights"
    assert path.is_relative_to(root(tmp))
    assert root(tmp).stat().st_mode & 0o777 == 0o700
    assert "SECRET" not in "".join(map(str, tmp.rglob("*")))


@pytest.mark.parametrize("harm", ["other bytes", "cut", "link", "no record", "linked folder"])
def test_a_copy_that_is_not_what_was_written_is_fetched_again(web, tmp, harm):
    path = fetch(web, f"{harm[0]}.pt", b"the weights")
    other = tmp / "other"
    if harm == "other bytes":
        path.write_bytes(b"THE WEIGHTS")
    elif harm == "cut":
        path.write_bytes(b"the")
    elif harm == "link":
        other.write_bytes(b"the weights")
        path.unlink()
        path.symlink_to(other)
    elif harm == "linked folder":
        path.parent.rename(other)
        path.parent.symlink_to(other)
    else:
        (path.parents[1] / "record.json").unlink()
    again = Path(filesystem.fetch(web.uri(f"{harm[0]}.pt")))
    assert (again, again.read_bytes()) == (path, b"the weights")
    assert not path.is_symlink()
    assert not path.parent.is_symlink()


def test_a_folder_that_others_may_have_written_to_is_refused(web, tmp):
    root(tmp).mkdir(mode=0o777)
    root(tmp).chmod(0o777)
    with pytest.raises(InputError, match=r"open to other users .mode 0777.*set TMPDIR"):
        fetch(web, "x.pt", b"x")
    root(tmp).rmdir()
    (tmp / "elsewhere").mkdir(mode=0o700)
    root(tmp).symlink_to(tmp / "elsewhere")
    with pytest.raises(InputError, match=r"is no folder.*set TMPDIR"):
        fetch(web, "x.pt", b"x")
    assert not list((tmp / "elsewhere").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_refused(web, tmp):
    root(tmp).mkdir(mode=0o700)
    os.chown(root(tmp), 12345, -1)
    with pytest.raises(InputError, match=r"belongs to another user.*set TMPDIR"):
        fetch(web, "x.pt", b"x")


def test_copies_that_nobody_uses_are_removed_and_those_of_dead_processes(web, tmp):
    old, used = fetch(web, "old.pt", b"old"), fetch(web, "used.pt", b"used")
    past = time.time() - (fetched.UNUSED_DAYS + 1) * 86_400
    for path in (old, used):
        os.utime(path.parents[1] / "record.json", (past, past))
    gone = subprocess.run(
        [sys.executable, "-c", "from transforms.storage.local import partial_name; print(partial_name('0123'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    dead, live = root(tmp) / gone, root(tmp) / partial_name("0123")
    dead.mkdir()
    live.mkdir()
    assert Path(filesystem.fetch(web.uri("used.pt"))) == used
    fetch(web, "new.pt", b"new")
    assert not old.exists()
    assert used.read_bytes() == b"used"
    assert not dead.exists()
    assert live.exists()


def test_processes_and_threads_fetch_at_the_same_time(web, tmp):
    web.upload("big.pt", data := os.urandom(1 << 22))
    code = (
        "import hashlib, sys; from transforms.storage import filesystem as f\n"
        "print(hashlib.sha256(open(f.fetch(sys.argv[1]), 'rb').read()).hexdigest())"
    )
    environment = os.environ | {"TMPDIR": str(tmp)}
    started = [
        subprocess.Popen([sys.executable, "-c", code, web.uri("big.pt")], env=environment, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    found = []

    def look():
        found.append(Path(filesystem.fetch(web.uri("big.pt"))).read_bytes() == data)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = {process.communicate()[0] for process in started}
    assert found == [True] * 4
    assert len(said) == 1
    (entry,) = root(tmp).iterdir()  # and nothing half made beside it
    assert (entry / "files/big.pt").read_bytes() == data


def test_a_full_disk_is_one_line(web, tmp):
    web.upload("large.pt", bytes(1 << 20))
    code = (
        "import resource, signal, sys; from transforms.lib.errors import InputError\n"
        "from transforms.storage import filesystem as f\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"
        "try: f.fetch(sys.argv[1])\n"
        "except InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, web.uri("large.pt")], capture_output=True, text=True,
                          check=True, env=os.environ | {"TMPDIR": str(tmp)})  # fmt: skip
    (line,) = done.stdout.splitlines()
    assert "a fetched file cannot be written" in line
    assert "set TMPDIR to another place" in line
    assert not list(root(tmp).iterdir())


def of(files):
    import contextlib
    import io

    return lambda uri: contextlib.nullcontext(io.BytesIO(files[uri]))


@pytest.mark.parametrize("name", ["../../../evil", "a/../../../evil", "/evil", "a//b", "./a", "a\0b"])
def test_a_name_in_a_bucket_leads_nowhere_else(tmp, name):
    uri = "s3://b/model"
    info = FileInfo(f"{uri}/{name}", 1, 0.0)
    with pytest.raises(InputError, match="a name like this cannot be written"):
        fetched.local_copy(uri, [info], of({info.uri: b"x"}))
    assert not list(tmp.rglob("*evil*"))


def test_a_folder_of_files_keeps_its_form(tmp):
    uri, files = "s3://b/model", {"s3://b/model/a": b"1", "s3://b/model/b/c": b"22"}
    infos = [FileInfo(name, len(data), 0.0) for name, data in files.items()]
    path = Path(fetched.local_copy(uri, infos, of(files)))
    assert ((path / "a").read_bytes(), (path / "b/c").read_bytes()) == (b"1", b"22")
    assert fetched.local_copy(uri, infos, of({})) == str(path)
    record = json.loads((path.parents[1] / "record.json").read_text())
    assert set(record) == {"model/a", "model/b/c"}
    with pytest.raises(StoreError, match="was replaced while it was read"):
        fetched.local_copy("s3://b/x", [FileInfo("s3://b/x", 5, 0.0)], of({"s3://b/x": b"four"}))
