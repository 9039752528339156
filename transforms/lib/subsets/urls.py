"""Which urls of a shard a list of hosts, urls and patterns names: all of them at once, in Arrow."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.lib.arrays import Bool
from transforms.lib.errors import InputError

_SCHEME = r"^[a-z*][a-z0-9+.*-]*://"
_USER = r"^[^/?#@]*@"
_HOST = r"^(?P<host>\[[^\]]*\]|[^/?#:\\]*)"
_AT_ONCE = 64  # patterns in one expression; RE2 holds 8 MiB of states for each


@dataclasses.dataclass(frozen=True)
class UrlList:
    """Hosts, urls and patterns, all in lower case and without scheme.

    Attributes:
      hosts: text ``[n]``; a host stands for its subdomains too.
      urls: text ``[n]``, whole urls.
      patterns: regular expressions for whole urls, many patterns in each.
    """

    hosts: pa.Array
    urls: pa.Array
    patterns: tuple[str, ...]

    @classmethod
    def of(cls, hosts: pa.Array, urls: pa.Array) -> UrlList:
        """Reads a list as people write it.

        Args:
          hosts: text ``[n]``; ``*.`` before a host says nothing more.
          urls: text ``[n]``; ``*`` stands for any run of characters, and the scheme may lack.

        Raises:
          InputError: patterns are too long to be used.
        """
        named = pc.replace_substring_regex(pc.utf8_lower(hosts), r"^\*\.|\.$", "")
        bare = without_scheme(urls)
        wild = pc.match_substring(bare, "*")
        texts = pc.unique(bare.filter(wild)).to_pylist()
        patterns = [".*".join(map(re.escape, text.split("*"))) for text in texts]
        parts = [patterns[at : at + _AT_ONCE] for at in range(0, len(patterns), _AT_ONCE)]
        made = tuple(f"(?s)^(?:{'|'.join(part)})$" for part in parts)
        for pattern in made:
            try:
                pc.match_substring_regex(pa.array([""]), pattern)
            except pa.ArrowInvalid as error:
                raise InputError(f"url patterns cannot be used: {str(error)[:120]}; shorten them") from None
        return cls(pc.unique(named), pc.unique(bare.filter(pc.invert(wild))), made)

    def names(self, urls: pa.Array) -> Bool:
        """Returns bool ``[n]``: the urls, text ``[n]``, that the list names; an empty one never is."""
        bare = without_scheme(urls)
        found = np.zeros(len(bare), bool)
        if len(self.hosts):
            found |= self._hosted(bare)
        if len(self.urls):
            found |= pc.is_in(bare, value_set=self.urls).to_numpy(zero_copy_only=False)
        for pattern in self.patterns:
            found |= pc.match_substring_regex(bare, pattern).to_numpy(zero_copy_only=False)
        given: Bool = pc.not_equal(bare, "").to_numpy(zero_copy_only=False)
        return found & given

    def _hosted(self, bare: pa.Array) -> Bool:
        """Returns which urls lie on one of the hosts; each different host of the shard is looked up once."""
        coded = hosts_of(bare).dictionary_encode()
        name = coded.dictionary
        listed = np.zeros(len(name), bool)
        while pc.any(pc.not_equal(name, ""), min_count=0).as_py():
            listed |= pc.is_in(name, value_set=self.hosts).to_numpy(zero_copy_only=False)
            name = pc.replace_substring_regex(name, r"^[^.]*\.?", "")
        found: Bool = listed[coded.indices.to_numpy(zero_copy_only=False)]
        return found


def without_scheme(urls: pa.Array) -> pa.Array:
    """Returns urls, text ``[n]``, in lower case, without blanks around them and without ``https://`` or its like."""
    return pc.replace_substring_regex(pc.utf8_lower(pc.utf8_trim_whitespace(urls)), _SCHEME, "")


def hosts_of(bare: pa.Array) -> pa.Array:
    """Returns the hosts of urls without scheme, text ``[n]``, without user, port and the dot at their end."""
    host = pc.struct_field(pc.extract_regex(pc.replace_substring_regex(bare, _USER, ""), _HOST), "host")
    return pc.replace_substring_regex(host, r"\.$", "")
