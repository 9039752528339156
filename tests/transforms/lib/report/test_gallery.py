"""The clusters of the report against pandas: counts, choice, samples and layout."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.lib.report.test_html_page import HOSTILE, parsed, report, thumbnail
from transforms.lib.report import cluster_page, gallery, html_page
from transforms.lib.report.exhibit import Exhibit

ROWS = st.lists(st.tuples(st.integers(-1, 5), st.sampled_from([0.25, 0.5, -0.125, 1.0]), st.booleans()), max_size=60)


def counted(rows):
    cluster, similarity, kept = zip(*rows, strict=True) if rows else ((), (), ())
    lone = np.where(np.array(cluster, np.int32) < 0, np.nan, np.array(similarity, np.float32)).astype(np.float32)
    return gallery.tally(np.array(cluster, np.int32), lone, np.array(kept, bool))


@given(ROWS, st.lists(st.integers(0, 60), max_size=3), st.randoms())
def test_counts_are_those_of_pandas_however_the_pool_is_cut(rows, cuts, chance):
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [counted(rows[start:stop]) for start, stop in itertools.pairwise(edges)]
    chance.shuffle(parts)
    found = gallery.add_tallies(parts)
    table = pd.DataFrame(rows, columns=["cluster", "similarity", "kept"])
    assert found.none == (table.cluster < 0).sum()
    inside = table[table.cluster >= 0].groupby("cluster")
    assert len(found.sizes) == (table.cluster.max() + 1 if len(table) else 0)
    for number, part in inside:
        assert found.sizes[number] == len(part)
        assert found.kept[number] == part.kept.sum()
        assert gallery.tightness(found)[number] == pytest.approx(part.similarity.mean(), abs=1e-9)
    assert (found.sizes > 0).sum() == len(inside)


def tallied(sizes, mean=None):
    sizes = np.array(sizes)
    steps = (np.linspace(0.1, 0.9, len(sizes)) if mean is None else np.array(mean)) * sizes * 2**30
    return gallery.Tally(sizes, sizes // 2, steps.astype(np.int64), 0)


def test_few_clusters_are_all_shown_and_of_many_three_of_each_kind():
    assert list(gallery.choose(tallied([3, 0, 9, 3]))) == [2, 0, 3]
    assert not any(gallery.choose(tallied([3, 0, 9, 3])).values())
    assert gallery.choose(tallied([0, 0])) == {}
    chosen = gallery.choose(tallied([50, 40, 30, 20, *[10] * 20, 1, 2, 3]))
    kinds = {kind: [number for number, of in chosen.items() if kind in of] for kind in gallery.KINDS}
    assert sorted(kinds["largest"]) == [0, 1, 2]
    assert sorted(kinds["smallest"]) == [24, 25, 26]
    assert sorted(kinds["tightest"]) == [21, 22, 23]  # 24 to 26 are tighter, and too small to say so
    assert sorted(kinds["widest"]) == [0, 1, 2]
    assert list(chosen)[:6] == [0, 1, 2, 24, 25, 26]
    tiny = gallery.choose(tallied([1, *[2] * 19]))
    assert "tightest" in tiny[19]


@given(st.permutations(range(30)), st.lists(st.integers(0, 30), max_size=3))
def test_the_samples_of_the_smallest_rank_are_drawn(order, cuts):
    every = [(n % 3, Exhibit(n / 100, f"{n:032x}", "s", n, "u", 0.5, 0.1, "")) for n in order]
    edges = [0, *sorted(cuts), 30]
    parts = []
    for start, stop in itertools.pairwise(edges):
        groups = {}
        for number, exhibit in every[start:stop]:
            groups.setdefault(number, []).append(exhibit)
        parts.append({number: tuple(found) for number, found in groups.items()})
    merged = gallery.merge(parts)
    for number in range(3):
        assert [exhibit.row for exhibit in merged[number]] == list(range(number, 30, 3))[: gallery.PICTURES]


def test_how_k_means_went():
    fit = {"samples": {"fitted_on": 200, "pool": 900}, "inertia": [80.0, 60.0, 50.0]}
    found = gallery.course(json.dumps(fit).encode())
    assert found == (200, 900, (0.4, 0.3, 0.25))
    assert gallery.course(None) is None
    drawn = cluster_page.rounds_of(found.inertia)
    np.testing.assert_allclose([one[:2] for one in drawn], [(0, 0), (430, 2 / 3 * 90), (860, 90)])
    assert cluster_page.rounds_of([0.5])[0].y == 0


@pytest.mark.parametrize("number", [1, 7, 120, 121, 1000])
def test_bars_hold_every_sample(number):
    sizes = sorted(np.random.default_rng(number).integers(1, 500, number).tolist(), reverse=True)
    kept = [size // 3 for size in sizes]
    bars = cluster_page.size_chart(sizes, kept).bars
    assert len(bars) == min(number, cluster_page.BARS)
    assert max(bar.height for bar in bars) <= 100
    assert bars[-1].x + bars[-1].width == pytest.approx(100)
    heard = [bar.label.split(": ")[1].split(" samples, ") for bar in bars]
    assert sum(int(total.replace(",", "")) for total, _ in heard) == sum(sizes)
    assert sum(int(rest.split(" ")[0].replace(",", "")) for _, rest in heard) == sum(kept)


COURSE = gallery.Course(20, 30, (0.5, 0.4))


def page(fit=COURSE):
    counts = gallery.Tally(np.array([4, 0, 2]), np.array([1, 0, 2]), np.array([2, 0, 1]) << 30, 5)
    exhibits = {0: ("a", "b"), 2: ("c",)}
    shown = gallery.Gallery("cluster_k3", counts, {0: (), 2: ()}, exhibits)
    pictures = [
        thumbnail("low", score=0.2),
        thumbnail(HOSTILE, score=0.7, kept=False, step="density_prune"),
        thumbnail(jpeg=b""),
    ]
    return html_page.render(report(clusters=cluster_page.lay_out(shown, pictures, fit)))


def test_the_section_of_clusters():
    made = page()
    section = made[made.index('<section class="clusters"') :]
    section = section[: section.index("</section>")]
    assert parsed(made).scripts == 1
    assert "6 samples in 2 clusters; the largest has 4, the median 3. 5 samples have no embedding" in section
    assert (
        '4 samples</span> · <span class="fig">1 kept, 25.0 %</span> · <span class="fig">mean similarity 0.500'
        in section
    )
    assert section.index("density_prune") < section.index('alt="low"')  # the most alike first
    assert "in 2 rounds; inertia per sample, from 0.5 to 0.4" in section
    assert "no picture" in section
    assert "Rounds of k-means" not in page(None)
    assert page() == made


def test_a_pool_without_clusters_has_no_such_section():
    assert 'id="clusters"' not in html_page.render(report())
