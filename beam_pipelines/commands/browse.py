"""Look through the samples of an output in a browser on this machine.

winnow browse out
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Any

from beam_pipelines.config.tools import BrowseConfig
from beam_pipelines.planning import samples
from beam_pipelines.running import beam_options, options
from beam_pipelines.running.browse_pages import Pages
from beam_pipelines.running.local_page import LocalServer
from transforms.browse import Browser
from transforms.lib.errors import ConfigError


def open_browser(folder: str, selection: str) -> Browser:
    """Finds the columns of an output.

    Raises:
      ConfigError: it holds no pool, or no such selection.
    """
    schema = samples.find(folder, selection).schema

    def find(names: Sequence[str], shards: Sequence[str] | None) -> Any:
        return samples.find(folder, selection, list(names), shards)

    return Browser(find, schema, folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until Ctrl-C; returns the exit code: 0 after that, 2 the request is wrong."""
    config, problems = options.parse_tool("browse", sys.argv[1:] if argv is None else argv)
    try:
        if problems:
            raise ConfigError(problems)
        beam_options.tell_stores([])
        folder = config.folder[0].rstrip("/")
        pages = Pages(open_browser(folder, config.selection), folder)
        server = _server(pages, config)
    except ConfigError as error:
        for line in error.problems:
            print(f"winnow browse: {line}", file=sys.stderr)
        return error.exit_code
    print(f"{server.url}\nThis machine alone can open it. Ctrl-C ends it.", flush=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        server.server_close()
    return 0


def _server(pages: Pages, config: BrowseConfig) -> LocalServer:
    answers = {"": pages.first, "picture.jpg": pages.picture, "subset.npy": pages.subset}
    try:
        return LocalServer(answers, config.port)
    except OSError as error:
        raise ConfigError(
            f"--port {config.port} cannot be used ({error.strerror}); leave it out for a free one"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
