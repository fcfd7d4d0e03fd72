#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds sample documents against the installed schema and against what Python makes of them.

Usage: json-schema-test.py SAMPLES SCHEMA [SEED]

Python's json and its UTF-8 decoder are the second opinion: for any bytes in a name, the document
must read back as bytes.decode("utf-8", "replace").
"""
import copy
import json
import random
import subprocess
import sys

import jsonschema

SAMPLES, SCHEMA = sys.argv[1:3]
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(2**32)

HOSTILE = {
    "quotes": b"\"'\\`",
    "controls": bytes(range(1, 32)) + b"\x7f\xc2\x80\xc2\x9f",
    "invalid": b"\xff\xfe\xc0\xaf\xe0\x80\xaf\xed\xa0\x80\xed\xbf\xbf\xf4\x90\x80\x80\xf8\x88",
    "cut": "中😀".encode()[:-1],
    "script": b"</script><script>alert(1)</script>]]><!-- -- &amp;",
    "noncharacters": "\ufffe\uffff\ufdd0\U0001fffe\ufeff".encode(),
    "bidi": "\u202e\u2066abc\u2069\u061c مرحبا".encode(),
    "lines": "\u2028\u2029\x85".encode(),
    "combining": ("e" + "\u0301" * 1000).encode(),
    "long": "é😀\x01\"".encode() * 8192,
    "empty": b"",
    "spaces": b"  \t ",
}


def random_bytes(random_):
    """Near misses of UTF-8: pieces of characters, of all lengths, shuffled together."""
    out = bytearray()
    for _ in range(random_.randrange(1, 60)):
        char = chr(random_.choice([65, 0xE9, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFD, 0x10000,
                                   0x10FFFF, random_.randrange(1, 0xD800)])).encode()
        if random_.random() < 0.4:
            char = char[: random_.randrange(len(char) + 1)]
        if random_.random() < 0.3:
            char += bytes([random_.randrange(1, 256)])
        out += char
    return bytes(out)


def document_of(*arguments, text=None):
    run = subprocess.run([SAMPLES, *arguments], input=text, stdout=subprocess.PIPE, check=True)
    text = run.stdout.decode("utf-8")  # strict
    for char in text:
        assert char == "\n" or char.isprintable() or char == " " or ord(char) > 0xA0, hex(ord(char))
        assert char not in "\u2028\u2029\u202e\ufeff\ufffe\uffff\x7f", hex(ord(char))

    def refuse(word):
        raise AssertionError(f"{word} is no number")

    def unique(pairs):
        assert len(pairs) == len(dict(pairs)), "a key twice"
        return dict(pairs)

    return json.loads(text, parse_constant=refuse, parse_float=refuse, object_pairs_hook=unique)


def referred_stacks(document):
    stacks = {site["stack"] for site in document["allocation_hotspots"]}
    for block in document["active_allocations"] + document["freed_allocations"]:
        stacks.add(block["stack"])
        stacks.add(block.get("freed_stack", block["stack"]))
    return sorted(stacks)


def check_sample(validator, name):
    document = document_of(name)
    validator.validate(document)
    assert [stack["id"] for stack in document["stacks"]] == referred_stacks(document)
    sites = document["allocation_hotspots"]
    for key, total in {"count": "total_allocations", "total_size": "total_allocated",
                       "cumulative_size": "cumulative_allocated"}.items():
        assert sum(site[key] for site in sites) == document[total], (key, total)
    for block in document["active_allocations"] + document["freed_allocations"]:
        assert int(block["address"], 16) == block["ptr"]
        assert ("backtrace_ips" in block) == (name == "full")
    check_sampling(document, name == "estimates")
    return document


def check_sampling(document, is_sampled):
    """Errors and weights stand where a sample was told, and nowhere else."""
    assert (document["sampling"] is not None) == is_sampled
    for site in document["allocation_hotspots"]:
        errors = {key for key in site if key.endswith("_error")}
        figures = {key[: -len("_error")] for key in errors}
        assert figures <= set(site), figures
        assert len(errors) == (8 if is_sampled else 0), errors
    for block in document["active_allocations"] + document["freed_allocations"]:
        assert ("represents_blocks" in block) == is_sampled
        assert ("represents_bytes" in block) == is_sampled


def check_text(validator, data):
    expected = data.split(b"\0")[0].decode("utf-8", "replace")
    document = document_of("--text", text=data)
    validator.validate(document)
    strings = [
        document["process"]["command_line"][0],
        document["modules"][0]["path"],
        document["variables"][0]["name"],
        document["scopes"][0]["name"],
        document["marks"][0]["name"],
        document["completeness"]["doubts"][1],
    ]
    if expected:  # of these "" means unknown
        strings += [
            document["process"]["exe"],
            document["threads"][0]["name"],
            document["variables"][0]["type"],
            document["active_allocations"][0]["var_name"],
            document["active_allocations"][0]["type_name"],
        ]
    for string in strings:
        assert string == expected, (string, expected)


def check_strictness(validator, document):
    """The schema is worth nothing if it accepts everything."""
    bad = []
    for key in document:
        bad.append({k: v for k, v in document.items() if k != key})
    for path, value in [
        (("process", "state"), "asleep"),
        (("process", "session"), "XYZ"),
        (("timestamp",), "yesterday"),
        (("total_allocated",), -1),
        (("total_allocated",), 1.5),
        (("active_allocations", 0, "address"), "0x0123"),
        (("active_allocations", 0, "type_source"), "guessed"),
        (("active_allocations", 0, "size"), 2**64),
        (("stacks", 1, "frames", 0, "line"), 0),
        (("allocation_hotspots", 0, "lifetime_ns"), 7),
    ]:
        changed = copy.deepcopy(document)
        at = changed
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        bad.append(changed)
    for changed in bad:
        assert not validator.is_valid(changed)
    validator.validate(dict(document, another_key=1))


def main():
    with open(SCHEMA, encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    names = subprocess.run([SAMPLES, "--names"], stdout=subprocess.PIPE, check=True, text=True)
    tests = [(f"json_of_{name}_is_valid", lambda name=name: check_sample(validator, name))
             for name in names.stdout.split()]
    tests += [(f"fault_J03_{name}_reads_back", lambda data=data: check_text(validator, data))
              for name, data in HOSTILE.items()]

    def random_texts():
        random_ = random.Random(SEED)
        for _ in range(100):
            check_text(validator, random_bytes(random_))

    tests.append(("fault_J03_any_bytes_read_back", random_texts))
    tests.append(("schema_refuses_what_is_wrong",
                  lambda: check_strictness(validator, document_of("rich"))))
    print(f"# seed {SEED}\n1..{len(tests)}")
    failed = 0
    for number, (name, test) in enumerate(tests, 1):
        try:
            test()
            print(f"ok {number} {name}")
        except (AssertionError, jsonschema.ValidationError, ValueError) as error:
            failed += 1
            print(f"not ok {number} {name}")
            for line in str(error).splitlines()[:20]:
                print(f"# {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
