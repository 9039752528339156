"""A WordNet of a few words, in the form of the real one."""

import zipfile

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by  \n"
LEMMAS = {
    "noun": {"dog": [2084071, 10114209], "entity": [1740], "run": [558008], "box": [2883344], "mouse": [2330245],
             "woman": [10787470], "glass": [14881303], "ice_cream": [7614500]},
    "verb": {"run": [1926311, 2075049], "glow": [7614501], "be": [2604760]},
    "adj": {"big": [1382086], "happy": [1148283]},
    "adv": {"well": [11093]},
}  # fmt: skip
EXCEPTIONS = {"noun": {"mice": ["mouse"], "oxen": ["ox"]}, "verb": {"ran": ["run"], "is": ["be"]}, "adj": {}, "adv": {}}
POS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}


def write_wordnet(path, leave_out=()):
    """Writes the zip file of it: two pointers a lemma, as many sense counts as there are."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, lemmas in LEMMAS.items():
            lines = [
                f"{lemma} {POS[name]} {len(found)} 2 @ ~ {len(found)} 1 {' '.join(f'{n:08d}' for n in found)}  \n"
                for lemma, found in lemmas.items()
            ]
            exceptions = [f"{form} {' '.join(found)}\n" for form, found in EXCEPTIONS[name].items()]
            for file, text in ((f"index.{name}", LICENCE + "".join(lines)), (f"{name}.exc", "".join(exceptions))):
                if file not in leave_out:
                    archive.writestr(f"wordnet/{file}", text)
    return path
