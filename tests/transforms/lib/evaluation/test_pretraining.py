"""The built-in trainer, against open_clip's own scheduler and loss; real trainings of a second."""

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss
from open_clip_train.scheduler import cosine_lr

from transforms.lib.errors import InputError
from transforms.lib.evaluation import networks, pretraining

SETTINGS = pretraining.TrainingSettings(samples_seen=96, batch_size=8, warmup=3, checkpoint_every=5)


def data(pairs=20):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (pairs, 32, 32, 3), dtype=np.uint8)
    return pixels, random.integers(1, 400, (pairs, 16)).astype(np.int32)


def normalise(batch):
    return batch.permute(0, 3, 1, 2).float() / 255 - 0.5


def started(seed=0, folder=None):
    return pretraining.Training(networks.build(networks.find("tiny"), seed), SETTINGS, folder)


def weights(training):
    return {name: value.numpy().tobytes() for name, value in training.network.state_dict().items()}


def test_the_rate_is_that_of_open_clip():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=SETTINGS.learning_rate)
    schedule = cosine_lr(optimizer, SETTINGS.learning_rate, SETTINGS.warmup, SETTINGS.steps)
    for step in range(SETTINGS.steps):
        schedule(step)
        assert np.isclose(SETTINGS.rate(step), optimizer.param_groups[0]["lr"], rtol=1e-12)


def test_the_loss_is_that_of_open_clip():
    training, (pixels, tokens) = started(), data(8)
    network = training.network.eval()
    images, texts = normalise(torch.from_numpy(pixels)), torch.from_numpy(tokens).long()
    image, text = network.encode_image(images, normalize=True), network.encode_text(texts, normalize=True)
    theirs = ClipLoss()(image, text, network.logit_scale.exp())
    assert torch.isclose(pretraining.loss_of(network, images, texts), theirs)


def test_every_copy_is_seen_as_often_and_batches_run_across_epochs():
    copies = np.array([1, 0, 3, 2])
    order = pretraining.BatchOrder(copies, 4, 7)
    seen = np.concatenate([order.batch(step) for step in range(6)])  # 24 places: 4 epochs of 6
    assert np.bincount(seen, minlength=4).tolist() == [4, 0, 12, 8]
    again = pretraining.BatchOrder(copies, 4, 7)
    assert again.batch(5).tolist() == seen[20:].tolist()  # of any step, without those before it
    assert pretraining.BatchOrder(copies, 4, 8).batch(0).tolist() != seen[:4].tolist()


def test_a_crop_of_everything_is_the_picture_and_a_crop_of_less_is_a_part_of_it():
    ramp = torch.linspace(0, 1, 32).expand(64, 3, 32, 32)
    generator = torch.Generator().manual_seed(0)
    assert pretraining.cropped(ramp, 1.0, generator) is ramp
    found = pretraining.cropped(ramp, 0.25, generator)
    spans = found.amax((1, 2, 3)) - found.amin((1, 2, 3))
    assert found.shape == ramp.shape
    assert found.min() >= 0
    assert found.max() <= 1
    assert 0.4 < spans.min() < 0.6
    assert spans.max() > 0.9


def test_gains_and_the_scale_are_not_decayed():
    training = started()
    bare, decayed = training.optimizer.param_groups
    assert (bare["weight_decay"], decayed["weight_decay"]) == (0, 0.2)
    assert any(value is training.network.logit_scale for value in bare["params"])
    assert min(value.ndim for value in decayed["params"]) >= 2


def test_a_training_learns_and_one_that_was_stopped_ends_with_the_same_bytes(tmp_path):
    pixels, tokens = data()
    copies = np.ones(20, np.int64)
    whole = started()
    whole.run(pixels, tokens, copies, normalise)
    assert whole.losses[-1][1] < whole.losses[0][1]
    stopped = started(folder=tmp_path)
    stopped.run(pixels, tokens, copies, normalise, "s", until=7)
    fresh = started(seed=1, folder=tmp_path)
    assert not fresh.resume("another")
    assert fresh.resume("s")
    assert fresh.step == 5
    fresh.run(pixels, tokens, copies, normalise, "s")
    assert weights(fresh) == weights(whole)
    assert fresh.losses == whole.losses
    other = pretraining.Training(networks.build(networks.find("tiny"), 1), SETTINGS)
    other.run(pixels, tokens, copies, normalise)
    assert weights(other) != weights(whole)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / pretraining.CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="delete it"):
        started(folder=tmp_path).resume("s")
