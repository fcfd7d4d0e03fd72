#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Shells, version control, a debugger, virtual machines and servers, with all the processes that they
start: what they say and how they end is as without us, and the books of each process are exact."""

import collections
import pathlib
import shutil
import subprocess

import ttlib
from ttlib import check, check_equal

SECONDS = 300
ENVIRONMENT = {
    "LC_ALL": "C",
    "TZ": "UTC",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
    "GIT_PAGER": "cat",
    "NODE_OPTIONS": "",
}


class Work:
    """A shell script, run in a folder of its own that is $HOME too.

    @files     what lies in the folder, by name
    @least     sessions that there are
    @programs  of which there are sessions, one each at least, or as many as the name is there
    @has_heirs  forked beside other threads, whose calls were under way: that is declared
    """

    def __init__(self, script, programs, files=None, least=1, has_heirs=False):
        self.script = script
        self.programs = programs
        self.files = files or {}
        self.least = least
        self.has_heirs = has_heirs


def bash():
    ttlib.need("bash", "sort", "awk", "sed", "tr")
    script = r"""
        set -o pipefail
        seq 1 20000 | awk '{ print $1 % 97, $1 }' | sort -n | sed -n '1~500p' | tr ' ' ':' | tail -n 5
        declare -A count
        while read -r a b; do (( count[$a] += b )); done < <(seq 1 3000 | awk '{ print $1 % 7, $1 }')
        for key in $(printf '%s\n' "${!count[@]}" | sort); do echo "$key ${count[$key]}"; done
        for i in 1 2 3 4 5 6 7 8; do ( x=$(echo $i | tr 1-8 a-h); exit $i ) & pids[i]=$!; done
        for i in "${!pids[@]}"; do wait "${pids[i]}"; echo "job $i: $?"; done
        coproc CAT { cat; }
        echo through >&"${CAT[1]}"; read -r word <&"${CAT[0]}"; echo "$word"
        exec {CAT[1]}>&-; wait
        trap 'echo trapped' USR1; kill -USR1 $$
        cat <<END | while read -r line; do echo "<$line>"; done
        $(printf '%s ' {a..e}{1..3})
END
        false | true; echo "status $?"
        exit 7
    """
    return Work(script, ["bash", "sort", "sed"], least=20)


def git():
    ttlib.need("git")
    script = r"""
        set -e
        git init -q -b main one && cd one
        git config user.name A && git config user.email a@b
        for i in 1 2 3 4 5 6 7 8; do
            seq $i 3 2000 > file$i; git add .; git commit -q -m "commit $i"
        done
        git checkout -q -b side HEAD~3; echo side >> file1; git commit -q -a -m side
        git checkout -q main; git merge -q -m merged side
        git log --oneline --graph --stat | tail -n 30
        git gc -q; git fsck --full; cd ..
        git clone -q one two; cd two; git diff HEAD~2 HEAD --stat; git blame file1 | tail -n 3
        git grep -c 99 | head -n 3; git archive HEAD | wc -c; git status --short
    """
    return Work(script, ["git"], least=40)


def gdb():
    ttlib.need("gdb", "cc")
    program = r"""
        #include <stdio.h>
        #include <stdlib.h>
        struct node { int number; struct node *next; };
        static struct node *push(struct node *next, int number) {
            struct node *node = malloc(sizeof *node);
            *node = (struct node){number, next};
            return node;
        }
        int main(void) {
            struct node *list = NULL;
            for (int i = 0; i < 5; i++)
                list = push(list, i);
            printf("%d\n", list->number);
            return list->next->number;
        }
    """
    script = r"""
        cc -g -O0 -o list list.c || exit 1
        gdb -nx -batch -ex 'break push if number == 3' -ex run -ex backtrace -ex 'print *next' \
            -ex 'print next->next->number' -ex finish -ex 'python print(gdb.selected_frame().name())' \
            -ex 'watch list->number' -ex continue -ex delete -ex continue list 2>/dev/null |
            grep -v -e thread_db -e 'debuginfod' | sed 's/0x[0-9a-f]*/ADDR/g; s/process [0-9]*/process PID/'
    """
    return Work(script, ["gdb", "list"], {"list.c": program}, least=3)


def redis():
    ttlib.need("redis-server", "redis-cli")
    commands = "\n".join(
        [f"SET key:{i} {'v' * (i % 300)}" for i in range(3000)]
        + [f"RPUSH list {i * 7919 % 1009}" for i in range(1000)]
        + [f"HSET hash f{i % 100} {i}" for i in range(1000)]
        + [f"ZADD sorted {i * 31 % 97} m{i}" for i in range(500)]
        + ["SORT list LIMIT 0 5", "HGETALL hash", "ZRANGE sorted 0 10 WITHSCORES", "DBSIZE"]
        + ["EVAL \"local s = 0; for i = 1, 1000 do s = s + i end; return s\" 0", "SAVE"]
        + [f"DEL key:{i}" for i in range(0, 3000, 2)]
        + ["DBSIZE", "SHUTDOWN NOSAVE"]
    )
    script = r"""
        redis-server --port 0 --unixsocket $PWD/s --save '' --dir $PWD > log &
        until redis-cli -s $PWD/s ping 2>/dev/null | grep -q PONG; do :; done
        redis-cli -s $PWD/s < commands | md5sum
        wait $!; echo "server $?"
    """
    # One of several names of one file.
    server = pathlib.Path(shutil.which("redis-server")).resolve().name
    return Work(script, [server, "redis-cli"], {"commands": commands + "\n"}, least=3)


def node():
    ttlib.need("node")
    program = r"""
        const { Worker, isMainThread, parentPort } = require('worker_threads');
        const { execFileSync, spawn } = require('child_process');
        const crypto = require('crypto'), zlib = require('zlib'), fs = require('fs');
        if (!isMainThread) {
            let words = new Map();
            for (let i = 0; i < 50000; i++) words.set('w' + i * 31 % 5003, i);
            parentPort.postMessage([...words.values()].reduce((a, b) => a + b));
        } else (async () => {
            const sums = await Promise.all([1, 2, 3].map(() => new Promise(done =>
                new Worker(__filename).on('message', done))));
            console.log(sums);
            const text = JSON.stringify([...Array(20000).keys()].map(i => ({ i, s: 'x'.repeat(i % 50) })));
            const packed = await new Promise(done => zlib.gzip(text, (e, b) => done(b)));
            console.log(zlib.gunzipSync(packed).toString() === text, JSON.parse(text).length);
            const keys = await Promise.all([1, 2, 3, 4].map(i => new Promise(done =>
                crypto.pbkdf2('p' + i, 'salt', 1000, 32, 'sha256', (e, k) => done(k.toString('hex'))))));
            console.log(keys.join(' '));
            console.log(execFileSync('echo', ['from a child']).toString().trim());
            console.log('child', await new Promise(done => spawn('sh', ['-c', 'exit 3']).on('exit', done)));
            console.log((await fs.promises.readFile(__filename)).length > 100);
        })();
    """
    return Work("node program.js", ["node"], {"program.js": program}, least=3, has_heirs=True)


def java():
    ttlib.need("java", "javac")
    program = r"""
        import java.util.*;
        import java.util.concurrent.*;
        import java.util.stream.*;
        import java.util.zip.*;
        public class Program {
            public static void main(String[] args) throws Exception {
                ExecutorService pool = Executors.newFixedThreadPool(4);
                List<Future<Long>> sums = new ArrayList<>();
                for (int t = 0; t < 8; t++) {
                    final int seed = t;
                    sums.add(pool.submit(() -> {
                        Map<String, Integer> map = new TreeMap<>();
                        Random random = new Random(seed);
                        for (int i = 0; i < 20000; i++) map.merge("k" + random.nextInt(5000), i, Integer::sum);
                        Deflater deflater = new Deflater();
                        deflater.setInput(map.toString().getBytes());
                        deflater.finish();
                        long bytes = 0;
                        byte[] buffer = new byte[1024];
                        while (!deflater.finished()) bytes += deflater.deflate(buffer);
                        deflater.end();
                        return bytes;
                    }));
                }
                for (Future<Long> sum : sums) System.out.println(sum.get());
                pool.shutdown();
                System.out.println(IntStream.range(0, 100000).boxed().collect(Collectors.groupingBy(i -> i % 7)).get(3).size());
                Process child = new ProcessBuilder("echo", "from a child").inheritIO().start();
                System.exit(child.waitFor() + 6);
            }
        }
    """
    script = "javac Program.java && exec java -Xmx256m -Xshare:auto Program"
    return Work(script, ["java", "javac"], {"Program.java": program}, least=3, has_heirs=True)


def postgresql():
    """It will not be root: so it is nobody in particular, in a name space of its own."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise ttlib.Skip("postgresql is not installed")
    as_other = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if subprocess.run([*as_other, "true"], capture_output=True).returncode != 0:
        raise ttlib.Skip("no user name space is to be had, and PostgreSQL will not run as root")
    commands = r"""
        CREATE TABLE t (id int PRIMARY KEY, word text, n numeric);
        INSERT INTO t SELECT i, md5(i::text), i * 1.5 FROM generate_series(1, 20000) i;
        CREATE INDEX ON t (word);
        SELECT count(*), sum(n) FROM t WHERE word LIKE 'a%';
        SELECT id % 5 AS k, count(*), max(word) FROM t GROUP BY k ORDER BY k;
        SELECT string_agg(word, ',' ORDER BY word) FROM (SELECT word FROM t ORDER BY word LIMIT 5) w;
        DELETE FROM t WHERE id % 3 = 0;
        VACUUM ANALYZE t;
        SELECT count(*) FROM t a JOIN t b ON a.id = b.id + 1;
        SELECT * FROM nothing;
    """
    script = f"exec {' '.join(as_other)} bash script2"
    inner = rf"""
        PATH={found[-1]}:$PATH
        initdb -D data -A trust -U me --no-sync > log 2>&1 || {{ cat log; exit 1; }}
        pg_ctl -D data -o "-k $PWD -c listen_addresses= -F" -l log -w start > out || exit 2
        psql -h $PWD -U me -X -q -d postgres < commands 2>&1
        pg_ctl -D data -m fast -w stop > out; echo "stopped $?"
    """
    return Work(script, ["postgres", "psql"], {"script2": inner, "commands": commands}, least=8)


def nginx():
    ttlib.need("nginx", "curl")
    conf = r"""
        daemon off; worker_processes 2; pid pid; error_log log; user root;
        events { worker_connections 64; }
        http {
            access_log off; gzip on; gzip_min_length 1; gzip_types text/plain;
            client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
            scgi_temp_path t5;
            server { listen unix:s; location / { root .; }
                     location /r { return 200 "hello $arg_x\n"; } }
        }
    """
    script = r"""
        seq 1 20000 > numbers
        nginx -p $PWD -c conf & server=$!
        until curl -s --unix-socket s http://x/r >/dev/null; do :; done
        for i in $(seq 1 20); do curl -s --unix-socket s "http://x/r?x=$i"; done
        curl -s --unix-socket s --compressed http://x/numbers | md5sum
        curl -s --unix-socket s -o /dev/null -w '%{http_code}\n' http://x/none
        kill -HUP $server; curl -s --unix-socket s http://x/r?x=again
        kill -QUIT $server; wait $server; echo "server $?"
    """
    # The master, and two workers as often as it reads its configuration.
    return Work(script, ["nginx"] * 5 + ["curl"], {"conf": conf}, least=4)


def run_script(work, env, prefix=()):
    folder = ttlib.temp_dir()
    for name, text in {**work.files, "script": work.script}.items():
        (folder / name).write_text(text)
    return subprocess.run(
        [*prefix, "bash", "script"],
        cwd=folder,
        env={**env, **ENVIRONMENT, "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
    )


def check_session(export, card, has_heirs):
    completeness = export["completeness"]
    try:
        ttlib.check_books(export)
        if has_heirs and completeness["doubts"]:
            check_equal((completeness["dropped_events"], completeness["gaps"]), (0, []))
        else:
            ttlib.check_exact(export)
    except ttlib.Failed as failed:
        raise ttlib.Failed(f"{card['name']} ({card['pid']}): {failed}; {completeness}")


def check_everyday(make_work):
    work = make_work()
    alone = run_script(work, ttlib.clean_env())
    print(f"# {len(alone.stdout)} bytes, status {alone.returncode}")
    with ttlib.Daemon("--history=100", "--sessions=1000") as daemon:
        prefix = [ttlib.TT_CTL, "run", f"--json={ttlib.temp_dir() / 'export'}", "--"]
        traced = run_script(work, daemon.env(), prefix)
        check_equal(
            (traced.returncode, traced.stdout, traced.stderr),
            (alone.returncode, alone.stdout, alone.stderr),
        )
        ttlib.wait_for(
            lambda: all(card["state"] != "running" for card in daemon.sessions()), "all have ended"
        )
        cards = daemon.sessions()
        names = collections.Counter(card["name"] for card in cards)
        check(len(cards) >= work.least, f"{len(cards)} sessions")
        wanted = collections.Counter(work.programs)
        check(wanted <= names, f"sessions of {work.programs} among {names}")
        doubts = {}
        for card in cards:
            export = daemon.export(card["id"])
            check_session(export, card, work.has_heirs)
            for doubt in export["completeness"]["doubts"]:
                doubts[doubt] = doubts.get(doubt, 0) + 1
        print(f"# {len(cards)} sessions; doubts: {doubts}")


for make_work in (bash, git, gdb, redis, node, java, postgresql, nginx):
    ttlib.add_case(
        f"fault_A26_{make_work.__name__}_is_as_untraced",
        lambda make_work=make_work: check_everyday(make_work),
    )

ttlib.main()
