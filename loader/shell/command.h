/* command.h - the commands of `cropring` as data: main.c has the table, completion.c reads it. */
#ifndef CROPRING_COMMAND_H
#define CROPRING_COMMAND_H

struct options_command;

/* What its words are that are no flags. */
enum command_operand { OPERAND_NOTHING, OPERAND_FILE, OPERAND_RING, OPERAND_SHELL };

struct command {
	const char *name, *operands, *about; /* as the overview shows them */
	enum command_operand operand;
	int (*run)(int argc, char **argv);            /* argv[0] is the name; returns the process's exit code */
	const struct options_command *(*flags)(void); /* NULL: Python's */
};

/* Ends with an empty one. */
extern const struct command commands[];

#endif
