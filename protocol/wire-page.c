/* SPDX-License-Identifier: Apache-2.0 */
/* Writes WIRE.md, RECORDING.md, the golden files and the fuzzers' seeds, so that none of them can
 * differ from the headers: `meson compile -C build remake-goldens`. Only the prose here is kept
 * true by hand. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/recording.h"
#include "protocol/wire-vectors.h"

static void print_vector(const char *name) {
    size_t count;
    const TtVector *vectors = tt_vectors(&count);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(vectors[i].name, name) != 0)
            continue;
        printf("\n```\n");
        tt_vector_print(&vectors[i], stdout);
        printf("```\n");
        return;
    }
    abort();
}

static void print_messages(void) {
    printf("# The wire format, version %d.%d\n"
           "\n"
           "Made by `wire-page` from the headers of this folder; do not edit. The examples are the "
           "golden\nfiles of `tests/golden/wire`; `meson compile -C build remake-goldens` remakes "
           "both.\n"
           "\n"
           "Two things travel between a traced program and the daemon:\n"
           "\n"
           "- **messages** over the events socket: few, each a head and records;\n"
           "- **chunks** through lanes, memory that both map: heap events, and the records that "
           "explain them.\n"
           "\n"
           "All numbers are little-endian. What a side reads it does not trust: a value is copied "
           "once, then\nchecked, and a reader that meets anything not described here closes the "
           "connection.\n",
           TT_WIRE_MAJOR, TT_WIRE_MINOR);
    printf("\n## Messages\n"
           "\n"
           "The events socket is `%s` in the socket directory, AF_UNIX and SOCK_SEQPACKET. A "
           "message\nhas up to %u bytes and begins with a head of %zu:\n"
           "\n"
           "| bytes | field | meaning |\n"
           "|---|---|---|\n"
           "| 4 | magic | `TTR1` |\n"
           "| 1 | major | %d; peers with another major refuse each other, naming both |\n"
           "| 1 | minor | %d; a newer minor only adds records, and fields at a record's end |\n"
           "| 2 | reserved | 0 |\n"
           "\n"
           "Records follow, up to the message's end. A connection is one session's:\n"
           "\n"
           "```\n"
           "program                                daemon\n"
           "HELLO, ARGUMENT …            ------->\n"
           "                             <-------  LANES with a memfd, or REFUSED\n"
           "DOORBELL, MORE_LANES, EXPORT ------->\n"
           "                             <-------  LANES, EXPORT_DONE\n"
           "```\n"
           "\n"
           "The first message of a program:\n",
           TT_EVENTS_SOCKET, TT_MESSAGE_MAX, sizeof(TtMessageHead), TT_WIRE_MAJOR, TT_WIRE_MINOR);
    print_vector("message-hello");
    printf("\nThe answer:\n");
    print_vector("message-lanes");
}

static void print_record_framing(void) {
    printf("\n## Records\n"
           "\n"
           "A record is framed alike in messages and in chunks:\n"
           "\n"
           "| bytes | meaning |\n"
           "|---|---|\n"
           "| 2 | %d, and the record's number << 3 |\n"
           "| 2 | bytes of fields that follow |\n"
           "| … | the fields, in order |\n"
           "\n"
           "It takes up to %u bytes, head included. Two kinds of field:\n"
           "\n"
           "- **number**: unsigned LEB128: seven bits a byte, the lowest first; the top bit says "
           "that another\n  byte follows. In its shortest spelling, up to 2^64-1; any other is "
           "refused.\n"
           "- **string**: its length as a number, up to %u, then its bytes. Not terminated; any "
           "byte may occur.\n"
           "\n"
           "A reader takes absent fields as 0 or empty, passes over further ones that it does not "
           "know, and\npasses over records whose number it does not know.\n",
           TT_KIND_RECORD, TT_RECORD_MAX, TT_STRING_MAX);
}

static void print_record_head(int number, const char *name, const char *doc) {
    printf("\n### %d %s\n\n%c%s.\n\n| field | kind | meaning |\n|---|---|---|\n", number, name,
           doc[0] >= 'a' && doc[0] <= 'z' ? doc[0] - 'a' + 'A' : doc[0], &doc[1]);
}

/* File names have hyphens where records have underscores. */
static void print_record_example(const char *name) {
    char dashed[40];
    size_t len = strlen(name);

    for (size_t i = 0; i <= len; i++)
        dashed[i] = name[i] == '_' ? '-' : name[i];
    print_vector(dashed);
}

#define TT_RECORD(number, NAME, name, Name, doc)                                                   \
    static void print_record_##name(void) {                                                        \
        const char *vector = "record-" #name;                                                      \
        print_record_head(number, #NAME, doc);
#define TT_U(field, doc) printf("| " #field " | number | %s |\n", doc);
#define TT_S(field, doc) printf("| " #field " | string | %s |\n", doc);
#define TT_RECORD_END(name, Name)                                                                  \
    print_record_example(vector);                                                                  \
    }
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END

static void print_records(void) {
    print_record_framing();
#define TT_RECORD(number, NAME, name, Name, doc) print_record_##name();
#define TT_U(field, doc)
#define TT_S(field, doc)
#define TT_RECORD_END(name, Name)
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END
}

static void print_values(void) {
#define VALUE(name, doc) printf("| " #name " | %d | %s |\n", name, doc)
    printf("\n## Values\n\n| name | value | meaning |\n|---|---|---|\n");
    VALUE(TT_STACK_ROOT, "stack: parent of the outermost frame of a whole stack");
    VALUE(TT_STACK_TRUNCATED, "stack: parent of the outermost frame known of one that was cut");
    VALUE(TT_STACK_NONE, "stack: none is known");
    VALUE(TT_STACK_FIRST, "stack: the first that a record defines");
    VALUE(TT_STACK_EXACT_IP, "flag of STACK: ip is the interrupted instruction");
    VALUE(TT_OP_ALLOC, "op: a block was born");
    VALUE(TT_OP_FREE, "op: a block died");
    VALUE(TT_OP_REALLOC_BEGIN, "op: the block here is about to be resized, and may move");
    VALUE(TT_OP_REALLOC_END, "op: the block of the lane's open reallocation is now here");
    VALUE(TT_CLOCK_TSC, "clock: the time stamp counter");
    VALUE(TT_CLOCK_MONOTONIC, "clock: CLOCK_MONOTONIC, nanoseconds");
    VALUE(TT_HELLO_LOSSLESS, "flag of HELLO: waits for the daemon rather than drop events");
    VALUE(TT_HELLO_FREE_STACKS, "flag of HELLO: frees carry stacks");
    VALUE(TT_HELLO_DORMANT, "flag of HELLO: sends nothing until it is woken");
    VALUE(TT_HELLO_USABLE_SIZES, "flag of HELLO: USABLE follows births");
    VALUE(TT_RELATION_NONE, "relation: no parent known");
    VALUE(TT_RELATION_FORK, "relation: parent_session is the parent's");
    VALUE(TT_RELATION_EXEC, "relation: parent_session is that of this process before exec");
    VALUE(TT_EXPORT_JSON, "format");
    VALUE(TT_EXPORT_SVG, "format");
    VALUE(TT_STACK_DEPTH_MAX, "limit: frames of one stack; the innermost are kept");
    VALUE(TT_BUILD_ID_MAX, "limit: bytes of a build-id");
    VALUE(TT_MODULES_MAX, "limit: modules of a session");
    VALUE(TT_LANES_MAX, "limit: lanes of a session");
#undef VALUE
}

#define MEMBER(Type, member, doc)                                                                  \
    printf("| %zu | %zu | " #member " | %s |\n", offsetof(Type, member),                           \
           sizeof(((Type *)NULL)->member), doc)

static void print_lanes(void) {
    printf("\n## Lane memory\n"
           "\n"
           "The daemon makes, sizes and seals the memory (the memfd of LANES); both sides map it. "
           "It holds\n"
           "\n"
           "```\n"
           "control of the segment, %zu bytes\n"
           "control of each lane, %zu bytes\n"
           "…up to the next multiple of 4096…\n"
           "chunks of the first lane, chunks_per_lane * %u bytes\n"
           "chunks of the next, …\n"
           "```\n"
           "\n"
           "A session may be sent more than one such memory. Its lanes are numbered through all of "
           "them, and\nthe first one's control of the segment speaks for the session.\n"
           "\n"
           "| offset | bytes | control | meaning |\n"
           "|---|---|---|---|\n",
           sizeof(TtLaneControl), sizeof(TtLaneControl), TT_CHUNK_BYTES);
    MEMBER(TtLaneControl, write_position,
           "bytes written to this lane since it began; stored with release once they are");
    MEMBER(TtLaneControl, dropped_events, "events ever dropped in this lane");
    MEMBER(TtLaneControl, tid, "whose lane it is; 0: nobody's yet");
    MEMBER(TtLaneControl, read_position,
           "daemon: bytes that it needs no more; stored with release. All ones: the lane was "
           "damaged, and "
           "nothing more is taken from it");
    MEMBER(TtLaneControl, reader_waits, "daemon: futex word, counted up when room was made");
    MEMBER(
        TtLaneControl, wants_doorbell,
        "session: the daemon sleeps; who sets it to 0, with a quarter of a lane to be read or in "
        "want of room, sends a DOORBELL");
    MEMBER(TtLaneControl, is_recording, "session: daemon: 1, or 0 while dormant");
    MEMBER(TtLaneControl, writer_waits, "program: 1 while it sleeps on reader_waits");
    printf("\n"
           "A lane is a ring of chunks of %u bytes. Positions count bytes and never wrap: "
           "`position / %u` is\nthe chunk's number in its lane, and `number %% chunks_per_lane` is "
           "where it lies. Each chunk begins\nwith a head, and a reader may begin at any chunk:\n"
           "\n"
           "| offset | bytes | chunk head | meaning |\n"
           "|---|---|---|---|\n",
           TT_CHUNK_BYTES, TT_CHUNK_BYTES);
    MEMBER(TtChunkHead, magic, "`TCHK`");
    MEMBER(TtChunkHead, tid, "the writing thread; a lane passes on only between chunks");
    MEMBER(TtChunkHead, number, "of the chunk in its lane; must be the one that is due");
    MEMBER(TtChunkHead, base_stamp, "what the first event's time counts from");
    MEMBER(TtChunkHead, events_before, "heap events of this lane before this chunk, lost ones too");
    MEMBER(TtChunkHead, reserved, "0");
    printf("\n"
           "Events and records follow. A whole one only is ever published. CHUNK_END, or the "
           "chunk's last byte,\nends it; the next begins at the next multiple of %u.\n",
           TT_CHUNK_BYTES);
}

static void print_lengths(const char *what, uint32_t lengths) {
    printf("| %s | %u | %u | %u | %u |\n", what, tt_length_of(lengths, 0), tt_length_of(lengths, 1),
           tt_length_of(lengths, 2), tt_length_of(lengths, 3));
}

static void print_events(void) {
    printf("\n## Events\n"
           "\n"
           "An event is a head of 16 bits, whose lowest three tell its kind, and up to four "
           "numbers:\n"
           "\n"
           "```\n"
           "births  | time, lowest %u bits | size | stack | time | addr | kind |\n"
           "         15                 11 10  9  8   7  6  5  4  3  2    0\n"
           "deaths  | time, lowest %u bits        | stack | time | addr | kind |\n"
           "         15                         9  8   7  6  5  4  3  2    0\n"
           "```\n"
           "\n"
           "| kind | | what | addresses |\n"
           "|---|---|---|---|\n"
           "| %d | CHUNK_END | nothing more in this chunk | |\n"
           "| %d | ALLOC | birth | multiples of 16 |\n"
           "| %d | FREE | death | multiples of 16 |\n"
           "| %d | REALLOC_BEGIN | death: a block is about to be resized | multiples of 16 |\n"
           "| %d | REALLOC_END | birth: it is now here | multiples of 16 |\n"
           "| %d | ALLOC8 | birth | multiples of 8 |\n"
           "| %d | FREE8 | death | multiples of 8 |\n"
           "| %d | RECORD | a record, framed as above | |\n"
           "\n"
           "The two bits of each number tell how many bytes it takes; they follow in this order:\n"
           "\n"
           "| number | 0 | 1 | 2 | 3 |\n"
           "|---|---|---|---|---|\n",
           TT_BIRTH_TIME_BITS, TT_DEATH_TIME_BITS, TT_KIND_CHUNK_END, TT_KIND_ALLOC, TT_KIND_FREE,
           TT_KIND_REALLOC_BEGIN, TT_KIND_REALLOC_END, TT_KIND_ALLOC8, TT_KIND_FREE8,
           TT_KIND_RECORD);
    print_lengths("address", TT_ADDR_LENGTHS);
    print_lengths("time", TT_TIME_LENGTHS);
    print_lengths("stack", TT_STACK_LENGTHS);
    print_lengths("size (births only)", TT_SIZE_LENGTHS);
    printf(
        "\n"
        "- **address**: the zigzag ((n << 1) ^ (n >> 63)) of (this address >> s) - (last "
        "address >> s), where\n  s is 3 for ALLOC8 and FREE8, else 4.\n"
        "- **time**: stamps since the last event, shifted right by the %u (birth) or %u (death) "
        "bits that the\n  head holds.\n"
        "- **stack**: an id. Without bytes: that of the chunk's last birth; for a death: none.\n"
        "- **size**: requested bytes. Without bytes: that of the chunk's last birth.\n"
        "\n"
        "In each chunk these begin anew: last address 0, last stamp the chunk's `base_stamp`, no "
        "stack, size 0.\nWhat does not fit (an odd address, one from 2^50, a size from 2^48) is "
        "a record WIDE_EVENT; packed\nevents after it take its stamp as the last one, and "
        "nothing else of it.\n"
        "\n"
        "A free is published before the block goes back to the allocator, an allocation after "
        "it came from\nthere. A reallocation is two events, REALLOC_BEGIN before and REALLOC_END "
        "after, or REALLOC_FAILED.\n"
        "\n"
        "In a sampled session (`sample_bytes` > 0) a birth of size n is told with the probability "
        "1 - exp(-max(n,\n1) / sample_bytes), and the deaths of the blocks so told are; that of "
        "another may be, and means\nnothing. A reallocation is told if its old block is in the "
        "sample: it ends in REALLOC_END if the new one\nis too, in REALLOC_LEFT if not. Of one "
        "whose new block alone is in the sample there is an ALLOC.\n"
        "\n"
        "After a PAUSE the death of a block that nobody knows means nothing, and the end of its "
        "reallocation\nneither: what such a block becomes is not told.\n"
        "\n"
        "USABLE is of the lane's last birth, and has its stamp, so that nothing that another "
        "thread does to the\nblock comes in between. Where another block is at its address it "
        "means nothing.\n"
        "\n"
        "A chunk, from its head on:\n",
        TT_BIRTH_TIME_BITS, TT_DEATH_TIME_BITS);
    print_vector("chunk-events");
}

_Static_assert(TT_EVENT_ADDR_END == (uint64_t)1 << 50 && TT_EVENT_SIZE_END == (uint64_t)1 << 48,
               "the page names these limits");

/* Writes each vector to a file of its own: as lines of hex, or as the bytes alone. */
static int write_files(const char *folder, bool is_hex) {
    size_t count;
    const TtVector *vectors = tt_vectors(&count);

    for (size_t i = 0; i < count; i++) {
        char path[4096];
        int len = snprintf(path, sizeof path, "%s/%s.%s", folder, vectors[i].name,
                           is_hex ? "hex" : "bin");
        if (len < 0 || (size_t)len >= sizeof path) {
            fprintf(stderr, "wire-page: the folder's name is too long\n");
            return EXIT_FAILURE;
        }

        FILE *to = fopen(path, "we");
        if (to != NULL && is_hex)
            tt_vector_print(&vectors[i], to);
        else if (to != NULL)
            fwrite(vectors[i].bytes, 1, vectors[i].len, to);
        if (to == NULL || fclose(to) != 0) {
            fprintf(stderr, "wire-page: cannot write %s: %s\n", path, strerror(errno));
            return EXIT_FAILURE;
        }
    }
    return EXIT_SUCCESS;
}

static void print_recording(void) {
    printf("# The file of a recording, version %d.%d\n"
           "\n"
           "Made by `wire-page` from the headers of this folder; do not edit. `meson compile -C "
           "build\n"
           "remake-goldens` remakes it.\n"
           "\n"
           "A recording holds what sessions were told, in the order in which they were told it: "
           "heap events after\nthe merge of the lanes, definitions, names, what was lost, how each "
           "ended. The daemon's model of a\nsession knows no clock and no chance, so telling it "
           "again gives the same state.\n"
           "\n"
           "## The file\n"
           "\n"
           "A row of zstd frames (RFC 8878), so that `zstd -t` checks a recording and `zstd -d` "
           "opens it:\n"
           "\n"
           "1. a skippable frame, the file's head, not compressed:\n"
           "\n"
           "| offset | bytes | field | meaning |\n"
           "|---|---|---|---|\n",
           TT_RECORDING_MAJOR, TT_RECORDING_MINOR);
#define HEAD(member, doc, value)                                                                   \
    printf("| %zu | %zu | " #member " | " doc " |\n", offsetof(TtRecordingHead, member),           \
           sizeof(((TtRecordingHead *)NULL)->member), value)
    HEAD(magic, "0x%x: a skippable frame", TT_RECORDING_SKIPPABLE);
    HEAD(len, "%zu: bytes that follow", sizeof(TtRecordingHead) - offsetof(TtRecordingHead, name));
    HEAD(name, "`%s` and a 0", TT_RECORDING_NAME);
    HEAD(major, "%d; a reader of another major refuses the file", TT_RECORDING_MAJOR);
    HEAD(minor, "%d; a newer minor only adds records, and fields at a record's end",
         TT_RECORDING_MINOR);
#undef HEAD
    printf(
        "\n"
        "2. frames of **sections**, each with its content's size (up to %u bytes) and zstd's "
        "checksum. A\n   section is of one session, and follows the one before of that session; "
        "those of several sessions\n   are mingled. It can be read when all earlier ones of its "
        "session have been.\n"
        "\n"
        "The last section is the file's own (session 0) and holds FINISH. A file without it was "
        "cut: it holds\nup to its last whole section, and the sessions that had not ended are "
        "shown as `lost`, not exact.\n"
        "A daemon's journal of a session has no such section either: the next daemon cuts it "
        "after its last whole\nsection and writes on there, beginning with an INTERRUPTION where "
        "something is missing.\n"
        "\n"
        "## Sections\n"
        "\n"
        "A section is a record SECTION (64 in WIRE.md, where all records stand), then steps, "
        "then the columns,\nas long as it says and in its order.\n"
        "\n"
        "**Steps** are records, framed as in WIRE.md. Each is told to the session in turn:\n"
        "\n"
        "| number | step | |\n"
        "|---|---|---|\n",
        TT_SECTION_BYTES_MAX);
#define TT_RECORD(number, NAME, name, Name, doc)                                                   \
    if (number > TT_RECORD_SECTION)                                                                \
        printf("| %d | " #NAME " | %s |\n", number, &doc[strlen("recording: ")]);
#define TT_U(field, doc)
#define TT_S(field, doc)
#define TT_RECORD_END(name, Name)
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END
    printf("\n"
           "and, as they came from the program: ARGUMENT behind SESSION; MODULE, SEGMENT, "
           "MODULE_GONE; MARK,\nVARIABLE, SCOPE_ENTER, SCOPE_LEAVE, GAP, REALLOC_FAILED, "
           "REALLOC_LEFT, FORK, USABLE and PAUSE behind PLACED.\nA reader passes over steps that "
           "it does "
           "not know.\n"
           "\n"
           "What a forked child **inherited** stands before its first event, and after the STACKs "
           "that its blocks\nname: INHERITANCE, then its threads, variables, scopes and blocks, "
           "each before the first block that\nnames it, up to INHERITANCE_END. Its own threads "
           "are numbered on from there.\n"
           "\n"
           "What is **held** waits, up to 4096 items, for a RELEASE: then it is applied up to a "
           "stamp, and what is\nheld beyond is known meanwhile, for a stamp may precede its cause "
           "by some nanoseconds.\n"
           "\n"
           "**Columns** hold the events of the section's RUNs and the STACKs of its NODES, all "
           "values of one kind\ntogether. Numbers are unsigned LEB128; zigzag is (n << 1) ^ (n >> "
           "63). A section has up to %u\nevents and %u STACKs. Differences go on from section to "
           "section of a session, and begin at 0.\n"
           "\n"
           "| column | of each | what |\n"
           "|---|---|---|\n"
           "| ops | event | one byte: TtOp, and the lowest 4 bits of the address << %u |\n"
           "| times | event | one byte: the stamp less the last event's; %u: as much, and more in "
           "late_times |\n"
           "| late_times | event whose time is %u | number: what is more |\n"
           "| birth_addrs | birth | zigzag of (address >> 4) - (A >> 4); A is the last address of "
           "its size |\n"
           "| ages | death | number: 1 for the last birth's block, 2 for that before, up to %u; 0: "
           "another |\n"
           "| death_addrs | death of age 0 | zigzag of (address >> 4) - (that of the last event >> "
           "4) |\n"
           "| sizes | birth | number |\n"
           "| birth_stacks | birth | number: id |\n"
           "| death_stacks | death | number: id, 2 for none |\n"
           "| node_ids | STACK | zigzag of id - (last id + 1) |\n"
           "| node_parents | STACK | zigzag of id - parent |\n"
           "| node_ips | STACK | zigzag of address - last address |\n"
           "| node_modules | STACK | number |\n"
           "| node_flags | STACK | number |\n"
           "\n"
           "The last address of a size: ((size + 23) >> 4) %% %u says which of as many places it "
           "has, all 0 at\nfirst. A birth leaves its address there, and a death that is told by an "
           "age leaves its block's in the\nplace of that block's size.\n"
           "\n"
           "## States\n"
           "\n"
           "| name | value | meaning |\n"
           "|---|---|---|\n",
           TT_SECTION_EVENTS_MAX, TT_SECTION_NODES_MAX, TT_COLUMN_OP_BITS, TT_COLUMN_LATE,
           TT_COLUMN_LATE, TT_GUESS_BIRTHS, TT_GUESS_SIZES);
#define VALUE(name, doc) printf("| " #name " | %d | %s |\n", name, doc)
    VALUE(TT_RECORDED_EXITED, "the process exited");
    VALUE(TT_RECORDED_KILLED, "a signal ended it");
    VALUE(TT_RECORDED_EXEC, "another program took its place");
    VALUE(TT_RECORDED_ENDED, "the cause cannot be known");
    VALUE(TT_RECORDED_LOST, "the connection broke and the process may live");
#undef VALUE
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "page") == 0) {
        print_messages();
        print_records();
        print_values();
        print_lanes();
        print_events();
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (argc == 2 && strcmp(argv[1], "recording") == 0) {
        print_recording();
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (argc == 3 && strcmp(argv[1], "goldens") == 0)
        return write_files(argv[2], true);
    if (argc == 3 && strcmp(argv[1], "seeds") == 0)
        return write_files(argv[2], false);
    fprintf(stderr, "usage: wire-page page | recording | goldens FOLDER | seeds FOLDER\n");
    return EXIT_FAILURE;
}
