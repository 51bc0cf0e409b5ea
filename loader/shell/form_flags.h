/* form_flags.h - the command lines of `cropring list` and `cropring flags`, which say in which form something is printed. */
#ifndef CROPRING_FORM_FLAGS_H
#define CROPRING_FORM_FLAGS_H

#include "base/err.h"

enum form { FORM_NONE, FORM_JSON, FORM_MARKDOWN };

/* Their tables of flags. */
const struct options_command *form_flags_list(void);
const struct options_command *form_flags_flags(void);

/* 0, or -EINVAL or -ENOMEM with a sentence.  --help and --version print and exit 0. */
int form_flags_parse(enum form *form, const struct options_command *command, int argc, char **argv, struct err *err);

#endif
