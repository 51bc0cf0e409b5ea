/* completion.h - `cropring completion`: a script for a shell, and the words that the script asks for. */
#ifndef CROPRING_COMPLETION_H
#define CROPRING_COMPLETION_H

#include "base/err.h"

enum shell { SHELL_BASH, SHELL_ZSH, SHELL_FISH, SHELL_COUNT };

/* argv[0] is not looked at.  0, or -EINVAL or -ENOMEM with a sentence.  --help and --version print and exit 0. */
int completion_command(int argc, char **argv, struct err *err);

/* The table of its flags, which is empty. */
const struct options_command *completion_flags(void);

/*
 * Prints what the last of `words` may become, the others being those between `cropring` and it: a word on each line, with a tab and
 * what it means; and a line ":files" where names of files go.  Shells that take "=" for a word of its own (bash) may do so.
 */
void completion_offer(char **words, size_t count);

extern const char *const completion_shells[SHELL_COUNT];  /* their names, */
extern const char *const completion_scripts[SHELL_COUNT]; /* and what each is to run */

#endif
