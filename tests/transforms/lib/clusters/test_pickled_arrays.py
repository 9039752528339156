"""Pickled arrays, as DataComp publishes them, are read; whatever else a pickle names is refused and does not run."""

import os

import numpy as np
import pytest
import torch

from transforms.lib.clusters import vector_files
from transforms.lib.errors import InputError


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4", "i4", "u8"])
@pytest.mark.parametrize("legacy", [False, True])
def test_an_array_is_read_as_it_was_written(tmp_path, kind, legacy):
    array = np.random.default_rng(0).uniform(0, 100, (5, 3)).astype(kind)
    path = str(tmp_path / "a.pt")
    for written in (array, np.asfortranarray(array), array[::2]):
        torch.save(written, path, _use_new_zipfile_serialization=not legacy)
        assert np.array_equal(vector_files._array(path, path, "centroids"), written)


def test_centroids_and_cluster_numbers_are_told_apart(tmp_path):
    floats, numbers = str(tmp_path / "c.pt"), str(tmp_path / "n.pt")
    torch.save(np.ones((2, 4), np.float32), floats)
    torch.save(np.arange(7), numbers)
    assert vector_files.read_vectors(floats, floats, "centroids").shape == (2, 4)
    assert vector_files.read_ids(numbers, numbers, "targets").tolist() == list(range(7))


class Program:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("legacy", [False, True])
def test_a_program_does_not_run(tmp_path, legacy):
    path = str(tmp_path / "a.pt")
    hidden = [
        Program(os.system, f"touch {tmp_path}/ran"),
        np.array([Program(os.system, f"touch {tmp_path}/ran")], object),
    ]
    for content in hidden:
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(InputError, match="which is no array"):
            vector_files.read_vectors(path, path, "centroids")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [np.array(["a"], object), np.array(["text"]), {"a": 1}, [np.ones(3)]])
def test_what_is_no_array_of_numbers_is_named(tmp_path, content):
    path = str(tmp_path / "a.pt")
    torch.save(content, path)
    with pytest.raises(InputError, match=r"is no .npy, .safetensors or .pt with one tensor"):
        vector_files.read_vectors(path, path, "centroids")
