#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs not written here: every figure of theirs equals that of the independent counter, which
stood in for the allocator in the same run; and what they did is as without us."""

import subprocess

import ttlib
import workloads


def check_program(make_work):
    work = make_work()
    alone = subprocess.run(
        work.command, env=ttlib.clean_env(workloads.ENVIRONMENT), capture_output=True, **work.options()
    )
    with ttlib.Daemon("--history=2000") as daemon:
        traced = ttlib.run_traced(
            work.command,
            env=workloads.ENVIRONMENT,
            counted=True,
            daemon=daemon,
            text=False,
            **work.options(),
        )
    ttlib.check_equal(alone.returncode, 0, "status of the program alone")
    ttlib.check_equal(
        (traced.returncode, traced.stdout, traced.stderr), (0, alone.stdout, alone.stderr), "traced"
    )
    ttlib.check(traced.count["allocations"] > 100000, "the program was at work")
    ttlib.check_exact(traced.export)
    ttlib.check_counted(traced.export, traced.count)
    ttlib.check_books(traced.export)


for make_work in workloads.ALL:
    ttlib.add_case(
        f"figures_of_{make_work.__name__}_are_the_counters",
        lambda make_work=make_work: check_program(make_work),
    )

ttlib.main()
