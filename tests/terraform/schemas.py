"""The provider's schema, read from its published typings: types, required arguments and nested blocks.

The typings are those of the npm package @cdktf/provider-google, which is generated from the provider itself. What they
do not say is not checked: allowed values, conflicts, and which optional arguments the provider computes (all may be).

python -m tests.terraform.schemas LIB TYPE... > schema.json
"""

import json
import re
import sys
from pathlib import Path

SCALARS = {"string": "string", "number": "number", "boolean": "bool"}
PARTS = {"List": "list", "Map": "map"}
FIELD = re.compile(
    r'^\s+(\w+): \{\s*\n\s+value: [^\n]*\n\s+isBlock: (\w+),\s*\n\s+type: "(\w+)",\s*\n\s+storageClassType: "(\w+)",',
    re.MULTILINE,
)


def snake(name):
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def attribute_type(kind, storage):
    """Returns Terraform's type of a field, or None when it is a block."""
    if storage in SCALARS:
        return SCALARS[storage]
    found = re.fullmatch(r"(string|number|boolean|any)(List|Map)", storage)
    if not found:
        return None
    part = SCALARS.get(found[1], "string")
    return ["set" if kind == "set" else PARTS[found[2]], part]


class Typings:
    """The JavaScript and the declarations of one resource type or of the provider."""

    def __init__(self, folder):
        self.script = "\n".join(path.read_text() for path in sorted(folder.rglob("*.js")))
        self.declared = "\n".join(path.read_text() for path in sorted(folder.rglob("*.d.ts")))
        self.name = re.search(r"export declare class (\w+) extends cdktf\.Terraform", self.declared)[1]

    def required(self, interface):
        """Returns argument -> whether it is required."""
        pattern = rf"export interface {interface}(?: extends [\w., ]+)? \{{(.*?)^\}}"
        found = re.search(pattern, self.declared, re.DOTALL | re.MULTILINE)
        fields = re.findall(r"^    readonly (\w+)(\?)?:", found[1], re.MULTILINE) if found else []
        return {snake(name): not optional for name, optional in fields}

    def body(self, function):
        found = re.search(rf"^function {function}\(struct\) \{{(.*?)^\}}", self.script, re.DOTALL | re.MULTILINE)
        return found[1] if found else ""

    def block(self, interface, body=None):
        """Returns a block: its attributes and the blocks in it."""
        if body is None:
            body = self.body(f"{interface[0].lower()}{interface[1:]}ToHclTerraform")
        required = self.required(interface)
        attributes, blocks = {}, {}
        for name, is_block, kind, storage in FIELD.findall(body):
            type_ = None if is_block == "true" else attribute_type(kind, storage)
            needed = required.get(name, False)
            if type_ is not None:
                attributes[name] = {"type": type_, "required": needed, "computed": not needed}
            else:
                nesting = {"list": "list", "set": "set", "struct": "single"}[kind]
                blocks[name] = {
                    "nesting": nesting,
                    "required": needed,
                    "block": self.block(storage.removesuffix("List")),
                }
        return {"attributes": attributes, "blocks": blocks}

    def top(self):
        """Returns the outermost block, with the attributes that only the provider sets."""
        made = self.block(f"{self.name}Config", self.script[self.script.rindex("synthesizeHclAttributes") :])
        pattern = rf"export declare class {self.name} extends cdktf\.\w+ \{{(.*?)^\}}"
        members = re.search(pattern, self.declared, re.DOTALL | re.MULTILINE)[1]
        for member, type_ in re.findall(r"^    get (\w+)\(\): ([^;{]+)", members, re.MULTILINE):
            name = snake(member)
            known = name in made["attributes"] or name in made["blocks"] or member.endswith("Input")
            if not known and type_.strip() in SCALARS:
                made["attributes"][name] = {"type": SCALARS[type_.strip()], "required": False, "computed": True}
        made["attributes"].setdefault("id", {"type": "string", "required": False, "computed": True})
        return made


def provider_block(lib):
    """Returns the provider's own block, whose arguments nobody computes."""
    made = Typings(lib / "provider").top()
    made["attributes"].pop("alias", None)
    made["attributes"].pop("id", None)

    def plain(block):
        for attribute in block["attributes"].values():
            attribute["computed"] = False
        for inner in block["blocks"].values():
            plain(inner["block"])

    plain(made)
    return made


def schema(lib, types):
    """Returns the provider's schema for resources, for example ``google_storage_bucket``, and for data sources, for
    example ``data.google_project``."""
    made = {"provider": provider_block(lib), "resources": {}, "data": {}}
    for name in types:
        kind, _, source = name.rpartition(".")
        folder = f"data-{source}" if kind else source.removeprefix("google_")
        made[kind or "resources"][source] = Typings(lib / folder.replace("_", "-")).top()
    return made


if __name__ == "__main__":
    json.dump(schema(Path(sys.argv[1]), sys.argv[2:]), sys.stdout)
