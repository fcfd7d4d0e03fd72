/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon and its symbolizer say to each other, over one stream socket.
 *
 * Both ways a message is its length (32 bits, little-endian, itself not counted) and that many
 * bytes of varints and strings:
 *
 *   question: version, id, time-out in ms, path, build-id, what is asked for (TtAskedFor), count,
 *             then as many addresses (the first as it is, each next one as the difference to the
 *             one before), each followed by a name where types of variables are asked for
 *   answer:   version, id, lack, string count, the strings,
 *             then for each address of the question, in its order:
 *             frame count, and for each frame: function, file (numbers of strings from 1 on;
 *             0: unknown), line, 1 if inlined else 0;
 *             for a variable at most one frame, whose function is the variable's type
 *
 * One question at a time. Each side distrusts the other: the process because it has read hostile
 * files, and reading a question costs it nothing to check. */
#pragma once

#include "protocol/cursor.h"
#include "protocol/wire.h"
#include "symbols/symbols.h"

G_BEGIN_DECLS

#define TT_EXCHANGE_VERSION 2
#define TT_EXCHANGE_FD 3 /* the process's end */
#define TT_EXCHANGE_HEAD_BYTES 4
#define TT_EXCHANGE_ADDRS_MAX 4096
#define TT_EXCHANGE_VARIABLES_MAX 256  /* in one question */
#define TT_EXCHANGE_VARIABLE_BYTES 255 /* of one's name */
#define TT_EXCHANGE_FRAMES_MAX 64      /* of one address; the last is always the real function */
#define TT_EXCHANGE_QUESTION_MAX (128u << 10)
#define TT_EXCHANGE_ANSWER_MAX (64u << 20)

typedef enum TtAskedFor {
    TT_ASKED_FOR_FRAMES,
    TT_ASKED_FOR_TYPES,
} TtAskedFor;

/* A question as read: borrows from the bytes it was read from, but for the addresses. */
typedef struct TtQuestion {
    guint64 id;
    guint64 timeout_ms;
    TtString path;
    TtString build_id;
    TtAskedFor asked_for;
    gsize addr_count;
    guint64 addrs[TT_EXCHANGE_ADDRS_MAX];      /* ascending; for frames, strictly */
    TtString names[TT_EXCHANGE_VARIABLES_MAX]; /* one an address, where types are asked for */
} TtQuestion;

/* Appends a question for frames, its length in front.
 *
 * @addrs: strictly ascending; 1 … TT_EXCHANGE_ADDRS_MAX
 * @path, @build_id_len: within TT_STRING_MAX and TT_BUILD_ID_MAX */
void tt_question_write(GByteArray *to, guint64 id, guint timeout_ms, const TtSymbolModule *module,
                       const guint64 *addrs, gsize addr_count);

/* Appends a question for types, its length in front.
 *
 * @variables: 1 … TT_EXCHANGE_VARIABLES_MAX, their addresses ascending, their names of up to
 *   TT_EXCHANGE_VARIABLE_BYTES
 * @path, @build_id_len: as above */
void tt_type_question_write(GByteArray *to, guint64 id, guint timeout_ms,
                            const TtSymbolModule *module, const TtSymbolVariable *variables,
                            gsize variable_count);

/* Reads a question without its length. Returns: 0, or -EBADMSG; @ret_question is undefined then. */
int tt_question_read(const guint8 *bytes, gsize len, TtQuestion *ret_question);

/* Collects the frames of an answer; each string goes over once. */
typedef struct TtAnswerWriter TtAnswerWriter;

/* For the question of this @id. Returns: (transfer full) */
TtAnswerWriter *tt_answer_writer_new(guint64 id);
void tt_answer_writer_free(TtAnswerWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TtAnswerWriter, tt_answer_writer_free)

/* Goes on to the next address; @frame_count calls of tt_answer_writer_add_frame() must follow. */
void tt_answer_writer_begin_addr(TtAnswerWriter *writer, guint frame_count);

/* Adds a frame, any bytes: strings are made valid UTF-8 of TT_STRING_MAX bytes at most, cut with
 * "…". Where the answer would grow too large, strings become unknown. */
void tt_answer_writer_add_frame(TtAnswerWriter *writer, const TtSymbolFrame *frame);

/* Appends the whole answer, its length in front. */
void tt_answer_writer_finish(TtAnswerWriter *writer, TtSymbolsLack lack, GByteArray *to);

/* Gives a string for good, or NULL to have it unknown; @text is valid UTF-8 and not terminated. */
typedef const char *(*TtInternString)(gpointer data, const char *text, gsize len);

/* The answers to one question. Freed with g_free(): one piece of memory. */
typedef struct TtAnswerBlock {
    TtSymbolsLack lack;
    gsize answer_count;
    gsize size_bytes;         /* of the piece */
    TtSymbolAnswer answers[]; /* the frames lie behind */
} TtAnswerBlock;

/* Reads an answer without its length; nothing in it is trusted.
 *
 * @id, @addr_count: of the question
 * @intern: called for each string that a frame names
 *
 * Returns: (transfer full) (nullable): the answers, or NULL where the bytes make no sense */
TtAnswerBlock *tt_answer_read(const guint8 *bytes, gsize len, guint64 id, gsize addr_count,
                              TtInternString intern, gpointer data);

G_END_DECLS
