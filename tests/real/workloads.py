# SPDX-License-Identifier: Apache-2.0
"""Programs of Debian at work of a few hundred milliseconds, or @times as much: the same input and the
same steps each time, one process, no other file written. Each function makes what its program reads
and returns the words to run it by; the environment is ENVIRONMENT's."""

import pathlib
import subprocess

import ttlib

# What would make two runs differ: seeds of hash tables, the locale, Python's own arenas, which keep
# most blocks from malloc.
ENVIRONMENT = {
    "LC_ALL": "C",
    "PERL_HASH_SEED": "0",
    "PYTHONHASHSEED": "0",
    "PYTHONMALLOC": "malloc",
}


class Work:
    def __init__(self, command, stdin=b""):
        self.command = [str(word) for word in command]
        self.stdin = stdin

    def options(self):
        """For subprocess.run: the input, which each run reads from its start."""
        path = ttlib.temp_dir() / "stdin"
        path.write_bytes(self.stdin)
        return {"stdin": path.open("rb")}


SHOP = b"""
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, cents INTEGER);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
INSERT INTO customer SELECT i, 'customer ' || i, 'city ' || (i * 7 % 97) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < @purchases@)
INSERT INTO purchase SELECT i, 1 + i * 31 % 1000, 'item ' || (i * 13 % 501), i * 17 % 9973 FROM n;
COMMIT;
CREATE INDEX purchase_customer ON purchase (customer, cents);
SELECT city, count(*), sum(cents) / 100.0 AS euros FROM purchase
  JOIN customer ON customer.id = purchase.customer GROUP BY city ORDER BY euros DESC LIMIT 5;
SELECT group_concat(item, ', ') FROM (SELECT item FROM purchase ORDER BY cents DESC, id LIMIT 12);
SELECT json_group_array(json_object('id', id, 'name', name)) FROM (SELECT * FROM customer LIMIT 300);
DELETE FROM purchase WHERE id % 40 = 0;
VACUUM;
SELECT count(*), avg(cents) FROM purchase;
"""


def sqlite3(times=1):
    ttlib.need("sqlite3")
    shop = SHOP.replace(b"@purchases@", b"%d" % (60000 * times))
    return Work(["sqlite3", "-init", "/dev/null", ":memory:"], shop)


def jq(times=1):
    ttlib.need("jq")
    orders = b"\n".join(
        b'{"id": %d, "city": "city %d", "tags": ["a%d", "b", null], "cents": %d.25}'
        % (i, i * 7 % 97, i % 13, i * 17 % 9973)
        for i in range(12000 * times)
    )
    question = (
        "[., inputs] | group_by(.city) | map({city: .[0].city, sum: (map(.cents) | add),"
        ' tags: (map(.tags[]) | unique | map(tostring) | join("/"))}) | sort_by(.sum) | reverse'
    )
    return Work(["jq", "-c", question], orders)


PERL = rb"""
my (%words, @lines);
for my $i (1 .. @lines@) {
    my $line = join ' ', map { 'w' . ($i * $_ * 7919 % 1009) } 1 .. 6;
    push @lines, $line if $i % 3;
    $words{$_}{$i % 50} .= substr($line, 0, 8) for split / /, $line;
}
my @top = sort { keys %{$words{$b}} <=> keys %{$words{$a}} || $a cmp $b } keys %words;
(my $text = join "\n", @lines) =~ s/w(\d+)/<$1>/g;
print scalar(@top), " $top[0] ", length $text, "\n";
"""


def perl(times=1):
    ttlib.need("perl")
    return Work(["perl", "-"], PERL.replace(b"@lines@", b"%d" % (20000 * times)))


PYTHON = b"""
import collections, json, re

class Node:
    def __init__(self, key, children):
        self.key, self.children = key, children

def tree(depth, key=1):
    return Node(key, [tree(depth - 1, key * 3 + i) for i in range(3)] if depth else [])

def total(node):
    return node.key + sum(total(child) for child in node.children)

words = collections.Counter(re.sub("[^a-z]", "", "w%dx" % (i * i % 997)) + str(i % 313) for i in range(20000 * times))
text = json.dumps({word: [count, str(count)] for word, count in words.items()})
print(sum(total(tree(8)) for _ in range(times)), len(words), len(text), sorted(json.loads(text))[7])
"""


def python3(times=1):
    program = "/usr/bin/python3"
    if not pathlib.Path(program).exists():
        raise ttlib.Skip(f"{program} is not installed")
    return Work([program, "-s", "-S", "-B", "-"], b"times = %d\n" % times + PYTHON)


def xmllint(times=1):
    ttlib.need("xmllint")
    rows = b"".join(
        b'<row id="r%d" kind="k%d"><name>Name %d &amp; more</name><v xml:lang="de">%d</v></row>\n'
        % (i, i % 17, i, i * i)
        for i in range(12000 * times)
    )
    path = ttlib.temp_dir() / "rows.xml"
    path.write_bytes(b'<?xml version="1.0"?>\n<rows>\n' + rows + b"</rows>\n")
    return Work(["xmllint", "--xpath", 'count(//row[@kind="k3"]/v[. > 4000])', path])


TEMPLATES = """
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

template <int N> struct Tower { std::map<std::string, std::vector<int>> rooms; Tower<N - 1> below; };
template <> struct Tower<0> {};

template <int N> int measure(const std::vector<std::string> &names) {
    auto tower = std::make_unique<Tower<12 + N>>();
    for (auto &name : names)
        tower->rooms[name].push_back((int)name.size());
    int sum = 0;
    for (auto &[name, room] : tower->rooms)
        sum += *std::max_element(room.begin(), room.end());
    return sum;
}

"""


def cc1plus(times=1):
    """The C++ compiler itself, without its driver; its largest part comes from mmap, by itself."""
    ttlib.need("g++")
    found = subprocess.run(["g++", "-print-prog-name=cc1plus"], capture_output=True, text=True)
    folder = ttlib.temp_dir()
    many = "".join(
        f"template int measure<{i}>(const std::vector<std::string> &);\n" for i in range(times)
    )
    (folder / "towers.cpp").write_text(TEMPLATES + many)
    made = subprocess.run(
        ["g++", "-std=c++17", "-E", folder / "towers.cpp", "-o", folder / "towers.ii"],
        capture_output=True,
        text=True,
    )
    ttlib.check_equal(made.returncode, 0, f"g++ -E: {made.stderr}")
    words = "-fpreprocessed -quiet -std=c++17 -O0 -o /dev/null"
    return Work([found.stdout.strip(), folder / "towers.ii", *words.split()])


ALL = [sqlite3, jq, perl, python3, xmllint, cc1plus]
