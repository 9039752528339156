"""What a user did wrong: one line each with its hint, all together, exit code 2, nothing written."""

import json
import shutil
from importlib import metadata

import pytest

from tests.conftest import make_pool
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member


def test_every_problem_is_told_at_once_and_nothing_is_written(winnow, tmp_path):
    out = tmp_path / "out"
    code, stdout, stderr = winnow(
        "curate", "--input", tmp_path / "none/*.tar", "--output", out, "--recipe", "dfm", "--keep_fraction", "1.1",
        "--model", "ViT-B-33/openai", "--batch_size", "many", "--bogus", "3", "--max_reject_fraction", "2",
    )  # fmt: skip
    assert code == 2
    assert stdout == ""
    for expected in (
        "matches no file",
        "did you mean dfn?",
        "--keep_fraction must be in (0, 1], got 1.1",
        "'ViT-B-33' is unknown; did you mean ViT-B-32",
        "--batch_size is unusable: invalid int value: 'many'",
        "--bogus is unknown",
        "--max_reject_fraction must be in [0, 1], got 2.0",
    ):
        assert expected in stderr
    assert all(line.startswith("winnow curate: ") for line in stderr.splitlines())
    assert not out.exists()


@pytest.mark.parametrize("fraction", ["0", "-0.5", "1.1", "nan"])
def test_a_keep_fraction_outside_zero_to_one_is_refused(winnow, small_pool, tiny_network, tmp_path, fraction):
    flags = ["--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    code, _, stderr = winnow("curate", *flags, "--keep_fraction", fraction)
    assert code == 2
    assert "--keep_fraction must be in (0, 1]" in stderr


def test_missing_flags_are_named(winnow):
    code, _, stderr = winnow("curate")
    assert code == 2
    assert "--input is missing" in stderr
    assert "--output is missing" in stderr


def test_a_folder_of_something_else_is_not_touched(winnow, small_pool, tiny_network, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    flags = ["--input", f"{small_pool}/*.tar", "--output", out, "--model", f"net={tiny_network}"]
    code, _, stderr = winnow("curate", *flags)
    assert code == 2
    assert "is not empty and Winnow did not write it" in stderr
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way_of_the_output_is_named(winnow, small_pool, tiny_network, tmp_path):
    (tmp_path / "taken").write_text("mine")
    for out in (tmp_path / "taken", tmp_path / "taken/deeper"):
        flags = ["--input", f"{small_pool}/*.tar", "--output", out, "--model", f"net={tiny_network}"]
        code, _, stderr = winnow("curate", *flags)
        assert code == 2
        assert "taken is a file; name another folder" in stderr


def test_an_output_of_another_configuration_is_refused(winnow, small_pool, tiny_network, tmp_path):
    out = tmp_path / "out"
    flags = ["--input", f"{small_pool}/*.tar", "--output", out, "--model", f"net={tiny_network}"]
    more = ["--max_reject_fraction", "0.2"]
    assert winnow("curate", *flags, *more)[0] == 0
    code, _, stderr = winnow("curate", *flags, *more, "--keep_fraction", "0.5")
    assert code == 2
    assert "another configuration (--keep_fraction 0.5 is new)" in stderr
    assert "winnow select" in stderr
    other = make_pool(tmp_path / "other", faults=False)
    code, _, stderr = winnow("score", "--input", f"{other}/*.tar", "--output", out, "--model", f"net={tiny_network}")
    assert code == 2
    assert "another configuration (--input" in stderr


def test_a_pool_without_images_is_refused(winnow, tiny_network, tmp_path):
    (tmp_path / "0.tar").write_bytes(write_member("a.txt", b"words") + END_OF_ARCHIVE)
    flags = ["--input", tmp_path / "0.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    code, _, stderr = winnow("curate", *flags)
    assert code == 2
    assert "no sample of the first 1 shards has an image" in stderr
    assert not (tmp_path / "out").exists()


def test_other_weights_than_the_pinned_are_refused(winnow, small_pool, tiny_network, tmp_path):
    weights = tiny_network / "open_clip_model.safetensors"
    flags = ["--input", f"{small_pool}/*.tar", "--output", tmp_path / "out"]
    code, _, stderr = winnow("curate", *flags, "--model", f"net=ViT-B-32@{weights}#sha256={'0' * 64}")
    assert code == 2
    assert f"not the pinned {'0' * 64}" in stderr


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("hf-hub:nobody/nothing", "download it on a connected machine"),
        ("ViT-B-32/laion2b_s34b_b79k", "download it on a connected machine"),
        ("ViT-B-32/nonesuch", "no such weights; there are"),
        ("ViT-B-32", "name the weights too"),
        ("ViT-B-32@weights.pt", "pin the weights file"),
        ("./no/such/folder", "does not exist; check the address"),
        ("Big=tinyclip", "must be lower-case letters"),
    ],
)
def test_a_model_that_cannot_be_had_is_named_with_its_cure(winnow, small_pool, tmp_path, model, expected):
    flags = ["--input", f"{small_pool}/*.tar", "--output", tmp_path / "out"]
    code, _, stderr = winnow("curate", *flags, "--model", model)
    assert code == 2
    assert expected in stderr
    assert "Traceback" not in stderr


def test_a_gpu_that_is_not_there_is_an_error(winnow, small_pool, tiny_network, tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    flags = ["--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    code, _, stderr = winnow("curate", *flags, "--device", "cuda")
    assert code == 2
    assert "no GPU is visible" in stderr


def test_jobs_name_the_job_that_has_to_run_first(winnow, small_pool, tiny_network, tmp_path):
    for job in ("select", "reshard", "verify"):
        code, _, stderr = winnow(job, "--output", tmp_path / "out")
        assert code == 2
        assert "run `winnow score" in stderr
    flags = ["--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    assert winnow("score", *flags)[0] == 0
    for job, hint in (("reshard", "run `winnow select`"), ("verify", "run `winnow select`")):
        code, _, stderr = winnow(job, "--output", tmp_path / "out")
        assert code == 2
        assert hint in stderr
    (tmp_path / "out/columns/index/00001.parquet").unlink()
    code, _, stderr = winnow("select", "--output", tmp_path / "out")
    assert code == 2
    assert "1 of 3 shards have no columns/index (00001 ...)" in stderr


def test_a_dry_run_tells_and_does_nothing(winnow, small_pool, tiny_network, tmp_path):
    out = tmp_path / "out"
    flags = ["--input", f"{small_pool}/*.tar", "--output", out, "--model", f"net={tiny_network}"]
    code, stdout, _ = winnow("curate", *flags, "--dry_run")
    told = json.loads(stdout)
    assert code == 0
    assert (told["shards"], told["to_score"], told["done"]) == (3, 3, 0)
    assert told["configuration"]["recipe"] == "dfn"
    assert told["models"]["net"]["dim"] == 16
    assert not out.exists()


def test_an_unknown_job_is_named(winnow):
    assert winnow("curat") == (2, "", "winnow: there is no job 'curat'; did you mean curate?\n")
    code, _, stderr = winnow("xyz")
    assert code == 2
    assert "there is no job 'xyz'; there are curate, score," in stderr


def test_an_unknown_flag_leads_to_the_one_that_was_meant(winnow, tmp_path):
    code, _, stderr = winnow("verify", "--output", tmp_path, "--compare_inputs", "--runer=DirectRunner", "--xyzzy")
    assert code == 2
    for line in (
        "--compare_inputs is unknown; did you mean --compare_input? --help lists the flags",
        "--runer=DirectRunner is unknown; did you mean --runner? --help lists the flags",
        "--xyzzy is unknown; --help lists the flags",
    ):
        assert f"winnow verify: {line}\n" in stderr


def test_a_pattern_that_the_shell_expanded_is_told_with_its_quotes(winnow, tmp_path):
    files = [f"pool/{number:05d}.tar" for number in (0, 1, 12)]
    code, _, stderr = winnow("score", "--input", *files, "--output", tmp_path)
    assert code == 2
    assert (
        "winnow score: pool/00001.tar and 1 more belong to no flag; if your shell expanded a pattern, put it in "
        "quotes: 'pool/000*.tar'\n" in stderr
    )


def test_hyphens_in_a_flag_lead_to_underscores(winnow, tmp_path):
    code, _, stderr = winnow("select", "--output", tmp_path, "--keep-fraction", "0.3")
    assert code == 2
    assert "--keep-fraction is unknown; did you mean --keep_fraction?" in stderr


def test_help_of_a_job_shows_required_flags_first(winnow):
    code, by_word, _ = winnow("help", "score")
    assert code == 0
    assert by_word == winnow("score", "--help")[1]
    assert by_word.startswith("usage: winnow score --output OUTPUT --input INPUT [FLAGS]\n")
    places = [by_word.index(text) for text in ("required:", "--input VALUE", "what is done:", "--model", "--threads")]
    assert places == sorted(places)
    assert max(map(len, by_word.split("example:")[0].splitlines())) <= 80


def test_the_version_names_what_computes_the_output(winnow):
    code, stdout, _ = winnow("--version")
    assert code == 0
    assert stdout.startswith(
        f"winnow {metadata.version('winnow-beam')} (apache-beam {metadata.version('apache-beam')}, "
    )


def test_an_output_does_not_take_its_own_shards_for_input(winnow, tmp_path, small_pool, monkeypatch):
    (tmp_path / "out/shards").mkdir(parents=True)
    shutil.copy(next(small_pool.glob("*.tar")), tmp_path / "out/shards/00000000.tar")
    monkeypatch.chdir(tmp_path)
    for output in (tmp_path / "out", "out", "./out/"):
        code, _, stderr = winnow("score", "--input", f"{tmp_path}/**/*.tar", "--output", output)
        assert code == 2
        assert (
            "--input matches 1 shards of --output's own folder shards/, where this run writes (the first is" in stderr
        )


@pytest.mark.parametrize("manifest", ["missing.txt", "binary.txt"])
def test_a_manifest_that_cannot_be_read_is_named(winnow, tmp_path, manifest):
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    code, _, stderr = winnow("score", "--input", f"@{tmp_path / manifest}", "--output", tmp_path / "out")
    assert code == 2
    assert "the manifest cannot be read" in stderr


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1073741824\n"


def test_a_pool_that_is_no_tars_is_named_as_what_it_is(winnow, tiny_network, tmp_path):
    pool = tmp_path / "pool"
    pool.mkdir()
    for number in range(3):
        (pool / f"{number}.tar").write_text(POINTER)
    (pool / "9.tar").write_text("<!DOCTYPE html>\n<html>Sign in</html>")
    flags = ["--input", f"{pool}/*.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    code, _, stderr = winnow("score", *flags)
    assert code == 2
    assert "0.tar, one of 3 shards that were looked at, is a git-lfs pointer instead of the file; fetch the" in stderr
    assert "9.tar is an HTML page" in stderr
    assert not (tmp_path / "out").exists()


def test_a_shard_among_others_that_is_no_tar_is_a_rejection(winnow, tiny_network, tmp_path):
    pool = make_pool(tmp_path / "pool", faults=False)
    (pool / "00009.tar").write_text(POINTER)
    flags = ["--input", f"{pool}/*.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    code, _, stderr = winnow("score", *flags, "--max_unreadable_fraction", "0.3")
    assert code == 0
    assert "1 of 49 samples were rejected: 1 not_a_tar" in stderr
