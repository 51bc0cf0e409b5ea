/* options_fixture.h - a command line as one string; for the tests of options. */
#ifndef CROPRING_TESTS_OPTIONS_FIXTURE_H
#define CROPRING_TESTS_OPTIONS_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/options_internal.h"

enum { MAX_WORDS = 32 };

static struct err err;

/* Parses a command line given as one string, words parted by one space. */
static int parse(struct options *options, const char *command_line)
{
	static char buffer[8][1024]; /* options point into their words: several may live at once */
	static unsigned turn;
	char *text = buffer[turn++ % 8], *words[MAX_WORDS] = {"cropring serve"}, *rest;
	int count = 1;

	snprintf(text, sizeof buffer[0], "%s", command_line);
	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	err.text[0] = '\0';
	return options_parse(options, count, words, &err);
}

/* Set-up of each test. */
static int forget_variables(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPTION_COUNT; i++)
		unsetenv(options_flags[i].variable);
	return 0;
}

#endif
