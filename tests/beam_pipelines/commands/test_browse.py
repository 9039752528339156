"""``winnow browse``: in a real browser, and against what should not reach it."""

import http.client
import io
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import numpy as np
import pytest

import winnow as winnow_package
from tests import browser
from tests.beam_pipelines.files import digests
from tests.conftest import picture
from transforms.lib import uids
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def output(tmp_path_factory, tiny_network):
    """Returns an output of 60 samples, one of them with a script for a caption."""
    from beam_pipelines import cli

    top = tmp_path_factory.mktemp("browse")
    (top / "pool").mkdir()
    for shard in range(2):
        captions = [SCRIPT if (shard, row) == (0, 3) else f"thing {shard}-{row}" for row in range(30)]
        members = [
            write_member(f"{shard}{row:04d}.{kind}", data)
            for row, text in enumerate(captions)
            for kind, data in (("jpg", picture(100 * shard + row)), ("txt", text.encode()))
        ]
        (top / f"pool/{shard}.tar").write_bytes(b"".join(members) + END_OF_ARCHIVE)
    flags = ["--output", str(top / "out"), "--quiet"]
    model = f"net={tiny_network}"
    assert cli.main(["curate", "--input", f"{top}/pool/*.tar", "--model", model, "--keep_fraction", "0.5", *flags]) == 0
    return top / "out"


@pytest.fixture(scope="module")
def address(output):
    """Returns the address of a browser that runs; it ends by Ctrl-C, with exit code 0, and has written nothing."""
    before = digests(output.parent)
    command = [sys.executable, "-m", "beam_pipelines.cli", "browse", str(output)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert process.stderr.read() == ""
    assert digests(output.parent) == before


def get(address, path="", host=None, method="GET"):
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.putrequest(method, f"{parts.path}{path}", skip_host=True)
    connection.putheader("Host", host or parts.netloc)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def found(output, at_least):
    table = winnow_package.open(str(output)).table(columns=["uid", "net.score"]).to_pylist()
    return sorted(row["uid"] for row in table if row["net.score"] >= at_least)


def test_one_filters_sorts_looks_and_exports_in_a_browser(winnow, output, address, tmp_path):
    scores = winnow_package.open(str(output)).table(columns=["net.score"])["net.score"].to_pylist()
    bound = round(sorted(scores)[40], 3)
    expected = found(output, bound)
    inside = address.rpartition("/")[0].rpartition("/")[0]
    with browser.chromium() as chromium, browser.opened(chromium, address, within=(inside,)) as page:
        assert page.locator("#found").inner_text().startswith("60 samples, 1 to 48")
        page.get_by_label("Column").first.select_option("net.score")
        page.get_by_label("is").first.select_option(">=")
        page.get_by_label("value").first.fill(str(bound))
        page.get_by_label("Sort by").select_option("net.score")
        page.get_by_role("button", name="Look").click()
        assert page.locator("#found").inner_text().startswith(f"{len(expected)} samples")
        assert page.locator("li img").count() == len(expected)
        shown = [float(text.split()[-1]) for text in page.locator("li p:has-text('net.score')").all_inner_texts()]
        assert shown == sorted(shown, reverse=True)
        page.wait_for_function("[...document.images].slice(0, 4).every(one => one.naturalWidth > 0)")
        assert browser.serious(page) == []
        with page.expect_download() as download:
            page.locator("#export").click()
        download.value.save_as(tmp_path / "subset.npy")
    assert uids_in((tmp_path / "subset.npy").read_bytes()) == expected
    again = ["--subset", tmp_path / "subset.npy", "--input", f"{output.parent}/pool/*.tar"]
    code, _, stderr = winnow("reshard", "--output", tmp_path / "copy", *again)
    assert code == 0, stderr


def uids_in(data):
    rows = uids.read_subset(io.BytesIO(data))
    return sorted(uids.to_hex(np.stack([rows["f0"], rows["f1"]], 1)))


def test_a_caption_with_a_script_stays_text(address):
    inside = address.rpartition("/")[0].rpartition("/")[0]
    query = "?column=caption&comparison=contains&value=%3Cscript"
    with browser.chromium() as chromium, browser.opened(chromium, address + query, within=(inside,)) as page:
        assert page.locator("#found").inner_text().startswith("1 samples")
        assert page.locator(".caption").inner_text() == SCRIPT
        assert page.locator("script").count() == 0


def test_pages_after_the_first_hold_the_rest(address):
    pages = [get(address, f"?sort=net.score&start={start}")[2].decode() for start in (0, 48)]
    assert [page.count("<img ") for page in pages] == [48, 12]
    assert 'rel="next"' in pages[0]
    assert 'rel="next"' not in pages[1]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example:1"])
def test_a_name_that_was_made_to_lead_here_is_refused(address, host):
    assert get(address, host=host)[0] == 403


def test_without_the_secret_nothing_is_told(address):
    parts = urlsplit(address)
    for path in ("/", "/wrong/", parts.path[:-2] + "/", "/subset.npy"):
        status, _, body = get(f"http://{parts.netloc}", path)
        assert (status, b"samples" in body) == (403, False)


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "%2e%2e/run.json", "run.json", "columns/index/0.parquet", "picture.jpg?shard=0"]
)
def test_an_address_leads_to_no_file(address, path):
    status, _, body = get(address, path)
    assert status == 404
    assert b"root:" not in body


@pytest.mark.parametrize("query", ["shard=9&row=0", "shard=0&row=999", "shard=-1&row=0", "shard=a&row=b", "shard=../0"])
def test_a_picture_that_is_not_there_is_404(address, query):
    assert get(address, f"picture.jpg?{query}")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_can_only_be_read(address, method):
    assert get(address, method=method)[0] == 501


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("column=none&comparison=%3D&value=1", "there is no column &#39;none&#39;"),
        ("column=net.score&comparison=like&value=1", "there is no comparison &#39;like&#39;"),
        ("column=net.score&comparison=%3E&value=abc", "float is not written so"),
        ("sort=none", "to sort by; choose one of the list"),
        ("start=999999", "only the first 4,800 samples are shown in one order"),
    ],
)
def test_a_question_that_has_no_answer_is_told(address, query, line):
    status, _, body = get(address, f"?{query}")
    assert status == 400
    assert line in body.decode()


def test_headers_let_a_page_load_nothing_from_elsewhere(address):
    for path in ("", "subset.npy"):
        headers = get(address, path)[1]
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ([], "name an output folder, for example `winnow browse out`"),
        (["{out}/none"], "holds no scored pool"),
        (["{out}", "--selection", "none"], "no such selection"),
        (["{out}", "--port", "70000"], "--port must be in 0 .. 65535"),
        (["{out}", "{out}"], "one folder too many"),
    ],
)
def test_what_cannot_be_looked_through_is_refused(winnow, output, args, line):
    code, stdout, stderr = winnow("browse", *(text.format(out=output) for text in args))
    assert (code, stdout) == (2, "")
    assert line in stderr
