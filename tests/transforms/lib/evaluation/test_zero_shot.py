"""Figures against plain loops that share no code with them."""

import numpy as np

from transforms.lib.evaluation import tasks, zero_shot


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_retrieval_is_that_of_plain_loops():
    random = np.random.default_rng(0)
    image, text = unit(random.normal(size=(20, 6))), unit(random.normal(size=(33, 6)))
    right = random.random((20, 33)) < 0.1
    right[np.arange(20), np.arange(20)] = True
    right[np.arange(33) % 20, np.arange(33)] = True
    found = zero_shot.retrieval(image, text, right)
    first, five, mutual = [], [], []
    for scores, answers in ((text @ image.T, right.T), (image @ text.T, right)):
        ranks = []
        for row, good in zip(scores, answers, strict=True):
            order = sorted(range(len(row)), key=lambda place: -row[place])
            ranks.append(next(rank for rank, place in enumerate(order) if good[place]))
        first.append(np.mean([rank < 1 for rank in ranks]))
        five.append(np.mean([rank < 5 for rank in ranks]))
        mutual.append(np.mean([1 / (1 + rank) for rank in ranks]))
    assert np.isclose(found["image_retrieval_recall@1"], first[0])
    assert np.isclose(found["text_retrieval_recall@1"], first[1])
    assert np.isclose(found["image_retrieval_recall@5"], five[0])
    assert np.isclose(found["text_retrieval_recall@5"], five[1])
    assert np.isclose(found["mean_recall@1"], np.mean(first))
    assert np.isclose(found["mrr"], np.mean(mutual))


def test_a_network_that_says_the_same_of_everything_knows_nothing():
    same = np.ones((10, 4), np.float32) / 2
    assert zero_shot.retrieval(same, same, np.eye(10, dtype=bool))["mean_recall@1"] == 0
    assert zero_shot.classification(same, same, np.arange(10))["acc1"] == 0


def test_classes_are_the_mean_of_their_prompts_and_recall_weighs_classes_alike():
    text = np.array([[1, 0], [0, 1], [-1, 0], [-1, 0]], np.float32)  # two prompts of each of two classes
    vectors = zero_shot.class_vectors(text, 2)
    assert np.allclose(vectors, [[np.sqrt(0.5), np.sqrt(0.5)], [-1, 0]])
    image = unit(np.array([[1, 1], [1, 1], [1, 1], [1, 1], [-1, 0], [1, 1]]))
    found = zero_shot.classification(image, vectors, np.array([0, 0, 0, 0, 1, 1]))
    assert found["acc1"] == 5 / 6
    assert found["mean_per_class_recall"] == (1 + 0.5) / 2
    assert found["acc5"] == 1


def test_each_line_of_a_caption_is_right_and_so_is_the_same_line_of_another_picture():
    texts, right = tasks.right_captions(["a dog\na  Hound", "A dog", "a cat"])
    assert texts == ["a dog", "a Hound", "a cat"]
    assert right.tolist() == [[True, True, False], [True, False, False], [False, False, True]]
