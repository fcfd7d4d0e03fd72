#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the golden vectors as WIRE.md describes them, sharing no line with the C decoder, and holds
what it reads against the notes that stand beside the bytes."""

import pathlib
import re
import sys

LENGTHS = {"addr": (1, 2, 3, 6), "time": (0, 1, 2, 7), "stack": (0, 2, 3, 4), "size": (0, 1, 2, 6)}
KINDS = ("CHUNK_END", "ALLOC", "FREE", "REALLOC_BEGIN", "REALLOC_END", "ALLOC8", "FREE8", "RECORD")
BIRTHS = ("ALLOC", "REALLOC_END", "ALLOC8")


class Reader:
    """Bytes, and the notes by the offset at which they stand."""

    def __init__(self, path):
        self.bytes = bytearray()
        self.notes = {}
        self.at = 0
        for line in path.read_text().splitlines():
            digits, sign, note = line.partition("#")
            if sign:
                self.notes[len(self.bytes)] = note.strip()
            self.bytes += bytes.fromhex(digits)

    def number(self, length):
        value = int.from_bytes(self.bytes[self.at : self.at + length], "little")
        self.at += length
        return value

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def expect(self, note, at):
        found = self.notes[at]
        assert found == note, f"at byte {at}: read '{note}', the note says '{found}'"


def read_record(reader):
    """A framed record; its fields are read by what the notes call them."""
    start = reader.at
    head = reader.number(2)
    assert head & 7 == 7, f"no record at byte {start}"
    name = reader.notes[start].rpartition(" ")[2]
    reader.expect(f"record, number {head >> 3}: {name}", start)
    length = reader.number(2)
    reader.expect(f"bytes of fields {length}", start + 2)
    end = reader.at + length
    fields = {}
    while reader.at < end:
        at = reader.at
        note = reader.notes[at]
        field = re.match(r"\w+", note).group()
        value = reader.varint()
        if re.match(r'\w+(, \d+ bytes| ".*")$', note):
            text = bytes(reader.bytes[reader.at : reader.at + value])
            reader.at += value
            shown = f'{field} "{text.decode()}"' if '"' in note else f"{field}, {value} bytes"
        else:
            shown = f"{field} {value:#x}" if " 0x" in note else f"{field} {value}"
        fields[field] = value
        reader.expect(shown, at)
    assert reader.at == end, f"record at byte {start} is longer than its fields"
    return name, fields


def unzigzag(value):
    return value >> 1 if value & 1 == 0 else -(value >> 1) - 1


def read_event(reader, last):
    start = reader.at
    head = reader.number(2)
    kind = KINDS[head & 7]
    is_birth = kind in BIRTHS
    shift = 3 if kind.endswith("8") else 4
    bits = 5 if is_birth else 7
    low = head >> (16 - bits)

    at = reader.at
    moved = unzigzag(reader.number(LENGTHS["addr"][head >> 3 & 3]))
    last["addr"] = ((last["addr"] >> shift) + moved) << shift
    reader.expect(f"addr {last['addr']:#x}", at)

    at = reader.at
    length = LENGTHS["time"][head >> 5 & 3]
    upper = reader.number(length)
    if length:
        reader.expect(f"time's upper part {upper}", at)
    time = upper << bits | low
    reader.expect(f"{kind}; time +{time}, its lowest {bits} bits {low}", start)
    last["stamp"] += time

    for field, code in (("stack", head >> 7 & 3), ("size", head >> 9 & 3)):
        if field == "size" and not is_birth:
            continue
        at = reader.at
        length = LENGTHS[field][code]
        value = reader.number(length)
        if length:
            reader.expect(f"{field} {value}", at)
            if is_birth:
                last[field] = value
    return kind


def read_chunk(reader):
    assert reader.number(4).to_bytes(4, "little") == b"TCHK"
    at = reader.at
    for field, length in (("tid", 4), ("number", 8), ("base_stamp", 8), ("events_before", 8)):
        value = reader.number(length)
        reader.expect(f"{field} {value}", at)
        at = reader.at
        if field == "base_stamp":
            last = {"addr": 0, "stamp": value, "size": 0, "stack": 2}
    reader.number(8)
    while reader.at < len(reader.bytes):
        kind = reader.bytes[reader.at] & 7
        if kind == 0:
            reader.expect("CHUNK_END", reader.at)
            reader.at += 2
        elif kind == 7:
            name, fields = read_record(reader)
            if name == "WIDE_EVENT":
                last["stamp"] = fields["stamp"]
        else:
            read_event(reader, last)


def read_message(reader):
    assert reader.number(4).to_bytes(4, "little") == b"TTR1"
    assert (reader.number(1), reader.number(1), reader.number(2)) == (1, 4, 0)
    while reader.at < len(reader.bytes):
        read_record(reader)


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.hex"))
    print(f"1..{len(paths)}")
    for i, path in enumerate(paths, 1):
        reader = Reader(path)
        kind = path.name.partition("-")[0]
        try:
            {"record": read_record, "message": read_message, "chunk": read_chunk}[kind](reader)
            assert reader.at == len(reader.bytes), "bytes are left over"
            print(f"ok {i} {path.stem}")
        except (AssertionError, LookupError) as error:
            print(f"not ok {i} {path.stem}\n# {error!r}")


main()
