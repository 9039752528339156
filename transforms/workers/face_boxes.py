"""Where face boxes come from: the json member of a sample, or Parquet files of metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from transforms.lib import addresses, stamps
from transforms.lib.errors import InputError
from transforms.lib.parquet_files import ParquetReader
from transforms.lib.samples import faces
from transforms.lib.subsets import uid_lists
from transforms.storage import filesystem, patterns

JSON = "json"
_COLUMNS = ("uid", "face_bboxes")


@dataclasses.dataclass(frozen=True)
class FaceBoxes:
    """Finds the boxes of samples.

    Attributes:
      source: ``json``: the field ``face_bboxes`` of the sample's json member. Anything else: the address of Parquet
        files with columns ``uid`` and ``face_bboxes``, as a glob; ``{shard}`` in it stands for the name of the
        sample's shard. Without ``{shard}`` every file is read once for each output shard.
      version: digest of the files, part of an output shard's stamp.
    """

    source: str
    version: str = ""

    def find(self, wanted: Sequence[tuple[str, str]]) -> list[list[faces.Box]] | None:
        """Looks samples up in the Parquet files.

        Args:
          wanted: (name of the input shard, uid) of each sample.

        Returns:
          the boxes of each sample, none for one that is not listed; None when they are in the json members.

        Raises:
          SampleError: boxes that are none.
        """
        if self.source == JSON:
            return None
        if "{shard}" not in self.source:
            boxes = self._read(self.source, {uid for _, uid in wanted})
            return [boxes.get(uid, []) for _, uid in wanted]
        by_shard: dict[str, set[str]] = {}
        for shard, uid in wanted:
            by_shard.setdefault(shard, set()).add(uid)
        read = {name: self._read(self._of(name), uids) for name, uids in by_shard.items()}
        return [read[shard].get(uid, []) for shard, uid in wanted]

    def _of(self, shard: str) -> str:
        """Returns the pattern of the files of one shard."""
        return self.source.replace("{shard}", addresses.escaped(shard))

    @staticmethod
    def _read(pattern: str, uids: set[str]) -> dict[str, list[faces.Box]]:
        by_uid = {}
        listed = pa.array(sorted(uids), pa.string())
        for info in patterns.match([pattern], "--blur_faces")[0]:
            for batch in ParquetReader(filesystem.fetch(info.uri)).batches(_COLUMNS):
                padded = uid_lists.digits_of(batch["uid"].cast(pa.string()))
                rows = pc.is_in(padded, value_set=listed)
                for uid, boxes in zip(padded.filter(rows), batch["face_bboxes"].filter(rows), strict=True):
                    by_uid[uid.as_py()] = faces.boxes_of(boxes.as_py())
        return by_uid

    def checked(self, shards: Sequence[str]) -> FaceBoxes:
        """Checks, before any work, that the files are there and have the columns.

        Args:
          shards: names of the input shards.

        Returns:
          the same with ``version`` made of the files' addresses, sizes and times of last change.

        Raises:
          InputError: every file that is missing or has no such column, up to five.
        """
        if self.source == JSON:
            return self
        wanted = sorted({self._of(name) for name in shards})
        problems = []
        matched = patterns.match(wanted, "--blur_faces")
        for pattern, files in zip(wanted, matched, strict=True):
            if not files:
                problems.append(f"--blur_faces: no file matches {pattern}; give json, or Parquet files with boxes")
            for info in files:
                problems += self._lacking(info.uri)
        if problems:
            raise InputError(problems[:5])
        return dataclasses.replace(self, version=stamps.stamp(files=matched))

    @staticmethod
    def _lacking(uri: str) -> list[str]:
        try:
            with filesystem.open_read(uri) as file:
                names = ParquetReader(file).schema.names
        except pa.ArrowInvalid:
            return [f"--blur_faces: {uri} is no Parquet file"]
        lacking = [name for name in _COLUMNS if name not in names]
        return [f"--blur_faces: {uri} has no column {' and no column '.join(lacking)}"] if lacking else []
