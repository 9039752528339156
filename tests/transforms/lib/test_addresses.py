import pytest

from transforms.lib import addresses

MATCHES = [
    ("a/**/*.tar", "a/x.tar", True), ("a/**/*.tar", "a/b/c/x.tar", True), ("a/**/*.tar", "ab/x.tar", False),
    ("a**/x", "abc/d/x", True), ("a**/x", "ax", False), ("**", "a/b", True), ("a/*", "a/b/c", False),
    ("a?c", "a/c", False), ("[ab].t*", "a.tar", True), ("[!ab].t", "c.t", True), ("[!ab].t", "a.t", False),
    ("x[0].tar", "x0.tar", True), ("x[0].tar", "x[0].tar", False), ("[a-c]", "b", True), ("[]]", "]", True),
    ("[", "[", True), ("[a", "[a", True), ("[^a]", "^", True), ("[c-a]", "[c-a]", True), ("[a&&b]", "&", True),
    ("a.b", "axb", False), ("a\nb*", "a\nbc", True), ("[\\d]", "7", False),
]  # fmt: skip


@pytest.mark.parametrize(("glob", "text", "matches"), MATCHES)
def test_globs_mean_what_a_shell_means_by_them(glob, text, matches):
    assert (addresses.regex_of(glob).fullmatch(text) is not None) is matches


@pytest.mark.parametrize("text", ["laion[0].tar", "a*b?", "[!x]", "[[]", "plain", "a]b", "**/x"])
def test_an_escaped_text_matches_itself_alone(text):
    glob = addresses.escaped(text)
    assert addresses.regex_of(glob).fullmatch(text)
    assert addresses.only_match(glob) == text
    assert addresses.literal_start(glob + "/*.tar") == text + "/"
    assert addresses.only_match(glob + "*") is None


@pytest.mark.parametrize(
    ("address", "path"),
    [("file:///a/b", "/a/b"), ("file:/a", "/a"), ("file://localhost/a%20b", "/a b"), ("/file:/a", "/file:/a"),
     ("file:a", "file:a"), ("gs://b/%20", "gs://b/%20"), ("/100%25", "/100%25")],
)  # fmt: skip
def test_file_addresses_are_paths(address, path):
    assert addresses.without_scheme(address) == path
