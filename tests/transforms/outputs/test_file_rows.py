import hashlib
import re
from pathlib import Path

from transforms.outputs import file_rows
from transforms.rows import FileRow
from transforms.storage import filesystem

ROOT = Path(__file__).parents[3]
DATA = b"some bytes"
ROW = FileRow("a/b.bin", 10, hashlib.sha256(DATA).hexdigest())


def test_a_file_has_the_same_row_however_it_came_about(tmp_path):
    root = str(tmp_path)
    assert file_rows.write(root, "a/b.bin", DATA) == ROW
    assert (tmp_path / "a/b.bin").read_bytes() == DATA
    assert file_rows.of_bytes("a/b.bin", memoryview(DATA)) == ROW
    assert file_rows.of_stored(root, "a/b.bin") == ROW
    assert file_rows.of_record("a/b.bin", {"bytes": ROW.size, "sha256": ROW.sha256, "stamp": "x"}) == ROW
    with filesystem.create_atomic(filesystem.join(root, "a/b.bin")) as file:
        file.write(DATA[:4])
        file.write(DATA[4:])
    assert file_rows.of_new("a/b.bin", file) == ROW


def test_rows_of_files_are_made_in_one_module_only():
    sources = [path for top in ("transforms", "beam_pipelines") for path in (ROOT / top).rglob("*.py")]
    makers = {path.name for path in sources if re.search(r"(?<!class )\bFileRow\(", path.read_text())}
    assert makers == {"file_rows.py"}
