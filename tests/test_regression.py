"""What the comparison of speeds says of its figures; the runs themselves are `make test-speed`."""

from benchmarks import regression


def test_a_run_over_the_bound_or_failing_here_counts_and_one_that_the_base_lacks_does_not(tmp_path, capsys):
    (tmp_path / "now broken.log").write_text("Traceback\nValueError: no such column")
    found = {"same": (2.0, 2.5), "slower": (2.0, 2.7), "new": (None, 1.0), "broken": (1.0, None)}
    assert regression.report(found, 1.3, tmp_path) == 2
    said = capsys.readouterr().out.splitlines()
    assert "1.25" in said[1]
    assert said[2].endswith("1.35  over the bound")
    assert said[3].endswith("the base cannot run it: not compared")
    assert said[4].endswith("Traceback ValueError: no such column")


def test_code_runs_on_the_tree_it_is_given(tmp_path):
    (tmp_path / "transforms").mkdir()
    own = f"import sys; sys.exit(0 if __file__.startswith({str(tmp_path)!r}) else 3)"
    (tmp_path / "transforms/__init__.py").write_text(own)
    log = tmp_path / "log"
    assert regression.cpu_seconds(tmp_path, ["-c", "import transforms; import sys; sys.exit(4)"], log) is not None
    assert regression.cpu_seconds(regression.ROOT, ["-c", "import transforms; import sys; sys.exit(4)"], log) is None
