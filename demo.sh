#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Traces a real program, Debian's sqlite3 at real work, and leaves its life in demo/*.json and *.svg.
set -eu
cd "$(dirname "$0")"

./install-deps.sh
[ -f build/build.ninja ] || meson setup build >/dev/null
meson compile -C build >/dev/null

mkdir -p demo
rm -f demo/*.json demo/*.svg demo/shop.db

# A shop: orders with an index, a full-text search, a report, a thousand of them deleted again.
cat >demo/shop.sql <<'SQL'
PRAGMA journal_mode = MEMORY;
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, cents INTEGER);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
INSERT INTO customer SELECT i, 'customer ' || i, 'city ' || (i * 7 % 97) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
INSERT INTO purchase SELECT i, 1 + i * 31 % 2000, 'item ' || (i * 13 % 501), i * 17 % 9973 FROM n;
COMMIT;
CREATE INDEX purchase_customer ON purchase (customer, cents);
SELECT city, count(*), sum(cents) / 100.0 AS euros FROM purchase
  JOIN customer ON customer.id = purchase.customer GROUP BY city ORDER BY euros DESC LIMIT 5;
SELECT group_concat(item, ', ') FROM (SELECT item FROM purchase ORDER BY cents DESC, id LIMIT 12);
SELECT json_group_array(json_object('id', id, 'name', name)) FROM (SELECT * FROM customer LIMIT 3);
DELETE FROM purchase WHERE id % 40 = 0;
VACUUM;
SELECT count(*), avg(cents) FROM purchase;
SQL

build/tools/tt-ctl run --json=demo/sqlite3.json --svg=demo/sqlite3.svg -- \
    sqlite3 demo/shop.db <demo/shop.sql
build/tools/tt-ctl run --view=lifecycles --svg=demo/sqlite3-lifecycles.svg -- \
    sqlite3 :memory: <demo/shop.sql >/dev/null
rm -f demo/shop.db demo/shop.sql

echo
echo "What sqlite3 did with its memory:"
for file in demo/*.json demo/*.svg; do
    echo "  $file"
done
