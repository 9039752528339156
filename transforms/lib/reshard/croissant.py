"""Croissant metadata of an output, by which tools that know that vocabulary find and read its shards.

Source: the format's specification, version 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html).
"""

from __future__ import annotations

from typing import Any

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_ENCODINGS = {
    "parquet": "application/x-parquet",
    "webdataset": "application/x-tar",
    "tfrecord": "application/x-tfrecord",
}
_TERMS = (
    "citeAs", "column", "extract", "field", "fileObject", "fileProperty", "fileSet", "format", "includes",
    "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated",
    "replace", "separator", "source", "subField", "transform",
)  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_COLUMNS = {
    "image": ("sc:ImageObject", "the encoded image"),
    "caption": ("sc:Text", "the caption"),
    "uid": ("sc:Text", "32 hex digits that name the sample"),
    "key": ("sc:Text", "uid and number of the copy"),
    "json": ("sc:Text", "the json member of the sample"),
}


def document(form: str, path: str, samples: int, shards: int) -> dict[str, Any]:
    """Returns the metadata as JSON values; a function of the arguments alone.

    The records of Parquet shards are described. Those of tars and TFRecord files are not: the format reads members of
    single archives, each named with its digest, and not those of a set of them.

    Args:
      form: of the shards, one of ``shard_formats.NAMES``.
      path: pattern of the shards, from the folder of the metadata.
      samples: in all shards.
      shards: how many there are.
    """
    found = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": "image-text-pairs",
        "description": f"{samples} image-text pairs in {shards} shards, curated by Winnow.",
        "distribution": [
            {
                "@id": "shards",
                "@type": "cr:FileSet",
                "name": "shards",
                "encodingFormat": _ENCODINGS[form],
                "includes": path,
            }
        ],
    }
    if form == "parquet":
        fields = [_field(name, *facts) for name, facts in _COLUMNS.items()]
        found["recordSet"] = [{"@id": "samples", "@type": "cr:RecordSet", "name": "samples", "field": fields}]
    return found


def _field(column: str, kind: str, description: str) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": "shards"}, "extract": {"column": column}}
    if column == "image":
        source["transform"] = {"jsonPath": "bytes"}
    name = f"samples/{column}"
    return {
        "@id": name,
        "@type": "cr:Field",
        "name": name,
        "description": description,
        "dataType": kind,
        "source": source,
    }
