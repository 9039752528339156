import io

import numpy as np
import pytest
import torch
from PIL import Image

from transforms.lib.errors import ConfigError
from transforms.lib.samples import captions
from transforms.lib.tar import shard_samples
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member
from transforms.lib.training import curves, projections, retrieval, training_pairs


def concepts(n=400, seed=0):
    """Features of two towers that see the same hidden concept through different random maps."""
    random = np.random.default_rng(seed)
    hidden = random.normal(size=(n, 8))
    towers = [(hidden @ random.normal(size=(8, w)) + 0.3 * random.normal(size=(n, w))) for w in (40, 24)]
    return [np.stack([tower, tower], 1).astype(np.float32) for tower in towers]


def starts(dim=16):
    random = np.random.default_rng(1)
    return tuple(random.normal(size=(dim, w)).astype(np.float32) / w**0.5 for w in (40, 24))


def test_projections_learn_what_the_towers_share():
    image, text = concepts()
    held = np.arange(len(image)) % 5 == 0
    settings = projections.FitSettings(epochs=40, batch_size=64, noise=0.1)
    fitted = projections.fit(image, text, np.arange(len(image)), held, starts(), settings)
    assert fitted.history[0]["auc"] < 0.8
    assert fitted.history[fitted.best]["auc"] > 0.95
    assert fitted.history[fitted.best]["held_loss"] == min(row["held_loss"] for row in fitted.history)


def test_equal_seeds_give_equal_weights_and_others_do_not():
    image, text = concepts(80)
    held = np.arange(80) % 4 == 0
    runs = [
        projections.fit(image, text, np.arange(80), held, starts(), projections.FitSettings(seed=seed, epochs=3))
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(runs[0].image, runs[1].image)
    assert not np.array_equal(runs[0].image, runs[2].image)


def test_training_stops_when_the_held_out_loss_no_longer_falls():
    random = np.random.default_rng(0)
    image, text = (random.normal(size=(60, 2, w)).astype(np.float32) for w in (40, 24))
    settings = projections.FitSettings(epochs=100, patience=3, learning_rate=0.05)
    fitted = projections.fit(image, text, np.arange(60), np.arange(60) % 3 == 0, starts(), settings)
    assert len(fitted.history) == fitted.best + 1 + 3


def test_the_loss_is_clips_and_equal_captions_are_positives():
    torch.manual_seed(0)
    image, text = (torch.nn.functional.normalize(torch.randn(5, 4), dim=1) for _ in range(2))
    scale = torch.tensor(2.0)
    logits = scale.exp() * image @ text.T
    plain = (torch.nn.functional.cross_entropy(logits, torch.arange(5))
             + torch.nn.functional.cross_entropy(logits.T, torch.arange(5))) / 2  # fmt: skip
    ours = projections.contrastive_loss(image, text, torch.arange(5), scale)
    torch.testing.assert_close(ours, plain)
    same = projections.contrastive_loss(image[:1].repeat(2, 1), text[:1].repeat(2, 1), torch.tensor([3, 3]), scale)
    torch.testing.assert_close(same, torch.tensor(2.0).log())


@pytest.mark.parametrize("arch", ["ViT-S-32-alt", "ViT-B-32-256", "RN50"])
def test_taking_a_projection_out_and_putting_it_back_changes_nothing(arch):
    import open_clip

    torch.manual_seed(0)
    network = open_clip.create_model(arch).eval()
    tokens = open_clip.get_tokenizer(arch)(["a dog", "a cat"])
    if arch == "RN50":
        with pytest.raises(ConfigError, match="no linear image projection; use --train towers"):
            projections.find(network)
        return
    size = network.visual.image_size
    pixels = torch.rand(2, 3, *(size if isinstance(size, tuple) else (size, size)))
    with torch.inference_mode():
        before = [network.encode_image(pixels), network.encode_text(tokens)]
        paths = projections.find(network)
        weights = [projections.take_out(network, path) for path in paths]
        features = [network.encode_image(pixels), network.encode_text(tokens)]
        for path, weight in zip(paths, weights, strict=True):
            projections.put_back(network, path, weight)
        after = [network.encode_image(pixels), network.encode_text(tokens)]
    for old, new, feature, weight in zip(before, after, features, weights, strict=True):
        torch.testing.assert_close(old, new)
        torch.testing.assert_close(feature @ torch.from_numpy(weight.copy()).T, old, rtol=1e-4, atol=1e-4)


def test_no_caption_is_on_both_sides_of_the_split():
    found = [f"Caption {n % 50}" if n % 2 else f"caption  {n % 50} " for n in range(200)]
    held = training_pairs.held_out(found, 0.3, 0)
    groups = retrieval.caption_groups(found)
    assert not set(groups[held]) & set(groups[~held])
    assert 0.1 < held.mean() < 0.5
    np.testing.assert_array_equal(training_pairs.held_out([*found, "new"], 0.3, 0)[:-1], held)


def test_a_split_with_nothing_on_a_side_is_refused():
    with pytest.raises(ConfigError, match="too few captions on a side"):
        training_pairs.held_out(["one", "two"], 0.1, 0)


def test_auc_counts_pairs():
    matched, shuffled = np.array([0.9, 0.5, 0.5]), np.array([0.1, 0.5, 0.95])
    pairs = [(m > s) + 0.5 * (m == s) for m in matched for s in shuffled]
    assert retrieval.matched_auc(matched, shuffled) == pytest.approx(np.mean(pairs))


def test_retrieval_figures_on_a_case_worked_by_hand():
    image = text = np.eye(4, dtype=np.float32)
    wrong = np.roll(text, 1, axis=0)
    right = retrieval.evaluate(image, text, np.arange(4), 0)
    assert (right["recall_at_1"], right["auc"]) == (1.0, 1.0)
    assert retrieval.evaluate(image, wrong, np.arange(4), 0)["recall_at_1"] == 0.0
    assert retrieval.evaluate(image, wrong, np.zeros(4, np.int64), 0)["recall_at_1"] == 1.0


def test_pairs_that_cannot_be_used_are_left_out():
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(sink, "PNG")
    good = write_member("a.png", sink.getvalue()) + write_member("a.txt", b"red")
    bad = write_member("b.png", b"no") + write_member("b.txt", b"x") + write_member("c.png", sink.getvalue())
    pairs = list(training_pairs.read_pairs(shard_samples.read_samples(io.BytesIO(good + bad + END_OF_ARCHIVE))))
    assert [pair.caption for pair in pairs] == ["red"]


@pytest.mark.parametrize(("caption", "clause"), [("A hen, bird, farm", "A hen"), ("hen", "hen"), (", odd", ", odd")])
def test_the_first_clause_is_what_the_picture_is_called(caption, clause):
    assert training_pairs.first_clause(caption) == clause


def test_curves_are_drawn_for_every_epoch():
    import xml.etree.ElementTree as ElementTree

    history = [{"train_loss": 5.0 - n, "held_loss": 5.5 - n, "auc": 0.6 + 0.1 * n, "epoch": n} for n in range(3)]
    svg = ElementTree.fromstring(curves.draw(history, 2))
    lines = [line.get("points").split() for line in svg.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(points) for points in lines] == [3, 3, 3]
    heights = [float(point.split(",")[1]) for point in lines[0]]
    assert heights == sorted(heights)


def test_keys_of_the_caption_field_are_read(tmp_path):
    assert captions.caption_of({"json": b'{"alt": "a hen"}'}, "alt") == "a hen"
