/* options_internal.h - tables of flags as data, for the files that read and print them, for the other commands, and for tests. */
#ifndef CROPRING_OPTIONS_INTERNAL_H
#define CROPRING_OPTIONS_INTERNAL_H

#include <stddef.h>

#include "loader/options.h"

enum options_kind {
	KIND_U32,           /* uint32_t: a whole number within the limits */
	KIND_U64,           /* uint64_t */
	KIND_I32,           /* int32_t; no sign is read */
	KIND_QUANTITY,      /* uint64_t: may end in K, M or G */
	KIND_SLOTS,         /* uint32_t: 0 or a whole number within the limits */
	KIND_SIZE,          /* two uint32_t, height and width: "224" or "192x256" */
	KIND_REAL,          /* double */
	KIND_PAIR,          /* two double: above the lower limit, in order, up to the upper limit */
	KIND_VECTOR,        /* float[3]: one number for all, or one for each channel */
	KIND_CHOICE,        /* an enum: the place among the choices */
	KIND_CHOSEN_NUMBER, /* uint32_t: the choice itself */
	KIND_SWITCH,        /* bool; has a --no- form */
	KIND_LEVEL,         /* int: set to `minimum` by a flag without value */
	KIND_TEXT,          /* const char *: anything but nothing */
	KIND_NUMBERS,       /* const char *: whole numbers with commas between them */
	KIND_RING_NAME,     /* const char * */
	KIND_SOCKET_PATH,   /* const char * */
};

struct options_flag {
	const char *group, *name;
	const char *variable; /* NULL: none */
	char letter;
	enum options_kind kind;
	size_t offset_bytes; /* of the field in its command's struct: of `cropring serve`, struct options */
	const char *default_text;
	const char *minimum, *maximum, *choices;
	const char *value, *help;
};

enum options_id {
#define FLAG(id, ...) OPTION_##id,
#include "loader/options_table.h"
#undef FLAG
	OPTION_COUNT
};

extern const struct options_flag options_flags[OPTION_COUNT];

/* A command whose flags are a table. */
struct options_command {
	const struct options_flag *flags;
	size_t flag_count;                 /* at most OPTIONS_FLAG_LIMIT */
	const char *help_head, *help_tail; /* of --help, around the flags */
};

enum { OPTIONS_FLAG_LIMIT = 64 };

/* What was said. */
struct options_line {
	const char *text[OPTIONS_FLAG_LIMIT]; /* the last value that each flag was given on the command line, or NULL */
	char **arguments;                     /* what is no flag, in argv */
	size_t argument_count;
};

extern const struct options_command options_serve;

/*
 * A flag of another command: of its own, or like one of `cropring serve`, which sets the same field of a struct options that lies in
 * that command's struct.  What `flag` says of the latter (group, name, letter, default, choices, help) differs; none has a variable.
 */
struct options_row {
	int like; /* an enum options_id, or OPTIONS_OWN */
	struct options_flag flag;
};

enum { OPTIONS_OWN = -1 };

/* The table that `count` rows make; struct options lies options_at_bytes into that command's struct. */
void options_from_rows(struct options_flag *table, const struct options_row *rows, size_t count, size_t options_at_bytes);

/*
 * Sets every field that a flag of `command` has in the struct at `fields`, from argv (argv[0] is not looked at), else from the
 * environment, else from its default.  0, or -EINVAL with a sentence, or -ENOMEM.  --help and --version print and exit 0.
 */
int options_read(const struct options_command *command, int argc, char **argv, struct options_line *line, void *fields,
                 struct err *err);

/* What the environment says for the flag; NULL: nothing. */
const char *options_variable_text(const struct options_flag *flag);

/*
 * Reads `text` into the flag's field of the struct at `fields`.  `origin` names who said it: "--size" or "CROPRING_SIZE".  Flags
 * are set in the order of the table, so that channels are known before mean and std.  0, or -EINVAL with a sentence.
 */
int options_value_set(void *fields, const struct options_flag *flag, const char *origin, const char *text, struct err *err);

/* The whole number that `text` is, with nothing around it, and with K, M or G if `suffix`. */
bool options_value_whole(const char *text, bool suffix, uint64_t *value);

/* "drop, pad or partial" from "drop|pad|partial". */
void options_value_list(const char *choices, char *text, size_t text_bytes);

/* The text of --help. */
void options_print_help(const struct options_command *command);

#endif
