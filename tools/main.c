/* SPDX-License-Identifier: Apache-2.0 */
/* tt-ctl: asks tt-daemon, never analyses. One file a command. */
#include <string.h>

#include "tools/command.h"
#include "tools/leave.h"

static const char help[] =
    "Usage: tt-ctl COMMAND ...\n"
    "\n"
    "  run -- CMD ...        runs a program traced, then writes what was asked for\n"
    "  list                  lists the sessions\n"
    "  export [TARGET]       writes a session as JSON or as a picture\n"
    "  record F              records programs that start from now on\n"
    "  mark NAME [TARGET]    names an instant\n"
    "  diff A B [TARGET]     shows what was born between two instants and lives\n"
    "  who TARGET ADDRESS    tells whose block an address is or was\n"
    "  leaks [TARGET]        tells which blocks are lost; leaks -- CMD ... at CMD's end\n"
    "  start TARGET          wakes a dormant session\n"
    "  stop TARGET           puts a session to sleep\n"
    "\n"
    "  tt-ctl COMMAND --help tells more; tt-ctl --version\n";

typedef struct Command {
    const char *name;
    int (*run)(char **argv, const TtChildStart *start);
} Command;

static const Command commands[] = {
    {"run", tt_command_run},       {"list", tt_command_list},   {"export", tt_command_export},
    {"record", tt_command_record}, {"mark", tt_command_mark},   {"diff", tt_command_diff},
    {"who", tt_command_who},       {"leaks", tt_command_leaks}, {"start", tt_command_start},
    {"stop", tt_command_stop},
};

static gboolean is_planned(const char *name) {
    static const char *const names[] = {"top", NULL};

    return g_strv_contains(names, name);
}

int main(int argc, char **argv) {
    TtChildStart start;
    const char *name = argc > 1 ? argv[1] : "";

    tt_child_read_start(&start);
    tt_leave_init();
    if (argc > 1 && g_str_equal(name, "--version"))
        return tt_command_print("tt-ctl " TT_VERSION "\n");
    if (g_str_equal(name, "--help") || g_str_equal(name, "-h") || g_str_equal(name, "help"))
        return tt_command_print(help);
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++)
        if (g_str_equal(name, commands[i].name))
            return commands[i].run(argv + 2, &start);
    if (is_planned(name))
        tt_say("'%s' is not possible yet: it comes with a later version", name);
    else if (*name)
        tt_say("There is no command '%s': see tt-ctl --help", name);
    else
        tt_say("Say what to do: see tt-ctl --help");
    return TT_STATUS_USAGE;
}
