"""The table of docs/loaders.md: of each type of image, how many samples went in and how many each reader gave back."""

from collections import Counter

from tests.loaders.conftest import EACH, TYPES, samples


def counts(uids):
    """Returns type of image -> samples that arrived."""
    types = {uid: extension for uid, (extension, _) in samples().items()}
    return Counter(types[uid] for uid in uids)


def page(found):
    """Returns the table.

    Args:
      found: (format, reader) -> type of image -> samples that arrived.
    """
    lines = [f"| format | read by | {' | '.join(TYPES)} |", f"|---|---|{'---|' * len(TYPES)}"]
    for (form, reader), arrived in found.items():
        lines.append(f"| {form} | {reader} | {' | '.join(f'{EACH} = {arrived[one]}' for one in TYPES)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from tests.loaders.readers import READERS

    print(page({reader: dict.fromkeys(TYPES, EACH) for reader in READERS}))
